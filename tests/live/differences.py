"""
What an engine cannot do, or does in a way of its own, and which tests show it.

Each entry is a promise: on an engine of that name the test fails, for that reason. A test that passes although it is
listed fails the run, and so does one that fails and is not listed. Only where an engine errs at times does an entry
say so, and the test may do either.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Final

import attrs

from anydocker import Docker

__all__ = ("DIFFERENCES", "Difference", "engine_name", "expected_difference")


@attrs.frozen
class Difference:
    """
    One reason, and what it explains.

    Attributes:
        engines: Patterns of names as :func:`engine_name` gives them.
        reason: Why the tests fail there, as a reader of docs/engines.md is told.
        tests: ``FILE`` for all its tests, ``FILE::TEST`` for all cases of one, ``FILE::TEST[CASE]`` for one case; the
            file without ``test_`` and ``.py``.
        sometimes: The engine does so at times only, so the tests may pass.
    """

    engines: tuple[str, ...]
    reason: str
    tests: tuple[str, ...]
    sometimes: bool = False


async def engine_name(docker: Docker) -> str:
    """What an engine is: ``docker-28.5.2``, ``docker-28.5.2-containerd`` (its image store), ``podman-4.3.1``."""
    version = await docker.version()
    number = version["Version"].partition("+")[0]
    if any("podman" in component["Name"].lower() for component in version.get("Components") or ()):
        return f"podman-{number}"
    drivers = (await docker.info()).get("DriverStatus") or ()
    is_containerd = ["driver-type", "io.containerd.snapshotter.v1"] in drivers
    return f"docker-{number}{'-containerd' if is_containerd else ''}"


def expected_difference(engine: str, names: set[str]) -> Difference | None:
    """Why a test with one of these names fails on the engine, or None where it has to pass."""
    for difference in DIFFERENCES:
        if names.intersection(difference.tests) and any(fnmatchcase(engine, one) for one in difference.engines):
            return difference
    return None


DIFFERENCES: Final[tuple[Difference, ...]] = (
    Difference(
        ("docker-*-containerd",),
        "Its pushes and pulls report other steps, and a pushed image keeps the digest of each of its names.",
        (
            "image_transfer::test_open_push_gives_the_steps",
            "image_transfer::test_push",
            "images::test_open_pull_gives_the_steps",
        ),
    ),
    Difference(
        ("docker-*-containerd",),
        "It imports whatever it gets, and finds out that it is no tar when the image is used.",
        ("images::test_import_of_what_is_no_tar",),
    ),
    Difference(
        ("docker-*-containerd",),
        "It words the refusal of a registry that wants a token otherwise.",
        ("auth_tokens::test_with_a_wrong_identity_token", "auth_tokens::test_with_a_wrong_password"),
    ),
    Difference(
        ("docker-28.*",),
        "It refuses a context with a member that would be outside of it.",
        (
            "build::test_a_member_that_would_escape_stays_in_the_context[buildkit-../escaped]",
            "build::test_a_member_that_would_escape_stays_in_the_context[buildkit-a/../../escaped]",
            "build::test_a_member_that_would_escape_stays_in_the_context[classic-../escaped]",
            "build::test_a_member_that_would_escape_stays_in_the_context[classic-a/../../escaped]",
        ),
    ),
    Difference(
        ("podman-*",),
        "It gives images their full names, docker.io/library/busybox:latest, and some ids without sha256:.",
        (
            "build::test_several_tags",
            "image_transfer::test_history",
            "image_transfer::test_prune_takes_what_has_no_name",
            "image_transfer::test_push",
            "image_transfer::test_save_and_load",
            "image_transfer::test_save_and_load_of_several",
            "images::test_import_bytes",
            "images::test_list",
            "images::test_remove_a_name_then_the_image",
            "images::test_remove_leaves_the_parents_if_asked",
            "images::test_tag",
        ),
    ),
    Difference(
        ("podman-4.*",),
        "It gives images their full names, docker.io/library/busybox:latest, and some ids without sha256:.",
        (
            "images::test_list_by_filters",
            "images::test_tag[-b--b:latest]",
            "images::test_tag[-b:1.2--b:1.2]",
            "images::test_tag[/c/d:e-/c/d:e]",
        ),
    ),
    Difference(
        ("podman-*",),
        "It refuses in words of its own, or with status 500 where Docker has a status for it.",
        (
            "auth_tokens::test_with_a_wrong_identity_token",
            "auth_tokens::test_with_a_wrong_password",
            "container_options::test_log_driver",
            "containers::test_an_unknown_container",
            "containers::test_create_refused_by_the_engine",
            "containers::test_create_with_a_name_that_is_taken",
            "containers::test_open_run_of_a_bad_command",
            "containers::test_remove_what_runs",
            "exec::test_a_stopped_container",
            "image_transfer::test_push_of_all_tags",
            "images::test_an_odd_name_reaches_the_engine_as_it_is",
            "images::test_remove_by_id_takes_force_if_there_are_several_names",
            "images::test_remove_of_an_image_in_use",
            "run::test_a_command_that_cannot_be_started",
            "run::test_a_missing_image_whose_name_is_malformed",
            "run::test_a_name_that_is_taken",
        ),
    ),
    Difference(
        ("podman-4.*",),
        "It refuses in words of its own, or with status 500 where Docker has a status for it.",
        (
            "container_removed::test_one_that_is_removed_before_it_ran_is_gone_for_everyone",
            "containers::test_kill_what_does_not_run",
            "run::test_a_user_that_is_none",
        ),
    ),
    Difference(
        ("podman-5.*",),
        "It refuses in words of its own, or with status 500 where Docker has a status for it.",
        (
            "containers::test_rename_to_a_name_that_is_taken",
            "image_transfer::test_push_without_the_right_credentials",
        ),
    ),
    Difference(
        ("podman-*",),
        "It has no BuildKit: UnsupportedByEngine.",
        (
            "build::test_a_member_that_would_escape_stays_in_the_context[buildkit-../escaped]",
            "build::test_a_member_that_would_escape_stays_in_the_context[buildkit-/escaped]",
            "build::test_a_member_that_would_escape_stays_in_the_context[buildkit-a/../../escaped]",
            "buildkit::test_a_cache_mount_keeps_its_files",
            "buildkit::test_a_cancelled_build_kills_the_step",
            "buildkit::test_a_dockerfile_behind_a_url",
            "buildkit::test_a_failing_step",
            "buildkit::test_an_output_that_is_none",
            "buildkit::test_from_a_directory",
            "buildkit::test_from_text",
            "buildkit::test_leaving_the_block_early_kills_the_step",
            "buildkit::test_limits_that_it_takes_or_does_not",
            "buildkit::test_options",
            "buildkit::test_the_output_can_stay_in_the_cache",
            "buildkit::test_the_steps",
            "buildkit::test_what_is_wrong_with_the_dockerfile",
            "proxies::test_a_build_by_buildkit_gets_them",
        ),
    ),
    Difference(
        ("podman-*",),
        "It fetches no git repositories.",
        (
            "build_options::test_a_repository",
            "build_options::test_what_a_repository_does_not_have[#main:no-such-directory-None-no-such-directory]",
            "build_options::test_what_a_repository_does_not_have[#no-such-branch-None-no-such-branch]",
        ),
    ),
    Difference(
        ("podman-*",),
        "Where there is no room it refuses what fails in the stream of Docker, and cannot run commands.",
        ("disk_full",),
    ),
    Difference(
        ("podman-*",),
        "It keeps all events in a file, tells of each a moment later, and leaves out some of the past.",
        ("events_resumed::test_more_than_the_engine_keeps_is_a_gap",),
    ),
    Difference(
        ("podman-*",),
        "It keeps all events in a file, tells of each a moment later, and leaves out some of the past.",
        ("events_resumed::test_each_event_comes_once_however_often_it_is_cut",),
        sometimes=True,
    ),
    Difference(
        ("podman-4.*",),
        "It keeps all events in a file, tells of each a moment later, and leaves out some of the past.",
        ("events_resumed::test_events_go_on_when_the_engine_is_started_again",),
        sometimes=True,
    ),
    Difference(
        ("podman-*",),
        "It forgets the commands of a container that is removed: their exit codes are NotFound.",
        ("container_removed::test_everyone_who_follows_a_container_comes_to_its_end",),
        sometimes=True,
    ),
    Difference(
        ("podman-*",),
        "Its builds are Buildah's: other steps, messages, labels and caching, and no squash.",
        (
            "build::test_a_member_that_would_escape_stays_in_the_context[classic-../escaped]",
            "build::test_a_member_that_would_escape_stays_in_the_context[classic-a/../../escaped]",
            "build::test_a_base_image_is_pulled",
            "build::test_a_failing_step",
            "build::test_a_failing_step_in_the_scope_form",
            "build::test_buildargs_and_labels",
            "build::test_from_text",
            "build::test_open_build_gives_the_events",
            "build_options::test_a_network_that_is_none",
            "build_options::test_an_argument_without_a_value_leaves_the_default",
            "build_options::test_cache_from",
            "build_options::test_force_rm[False]",
            "build_options::test_network",
            "build_options::test_rm[False]",
            "build_options::test_squash",
            "build_options::test_the_network_of_a_container",
        ),
    ),
    Difference(
        ("podman-4.*",),
        "Its builds are Buildah's: other steps, messages, labels and caching, and no squash.",
        ("build_options::test_a_platform_that_is_none",),
    ),
    Difference(
        ("podman-*",),
        "It does not build what is behind a URL of plain http, and reports no progress of such an import.",
        (
            "build_options::test_a_dockerfile_behind_a_url",
            "build_options::test_a_tar_behind_a_url",
            "build_options::test_nothing_behind_a_url",
            "image_transfer::test_import_from_a_url",
            "image_transfer::test_import_from_a_url_of_nothing",
        ),
    ),
    Difference(
        ("podman-*",),
        "The limits of a build's steps are those of crun, which here cannot set them, or are ignored.",
        (
            "build_options::test_a_step_that_needs_more_memory",
            "build_options::test_limits",
            "build_options::test_limits_the_engine_refuses",
        ),
    ),
    Difference(
        ("podman-*",),
        "It sends the output of a step when the step has ended, so an early leave is late.",
        ("build::test_leaving_the_block_early_kills_the_step",),
    ),
    Difference(
        ("podman-*",),
        "It has no such call.",
        (
            "attach_websocket",
            "auth::test_distribution",
            "containers::test_update_with_a_value_out_of_range",
            "image_transfer::test_prune_builds",
        ),
    ),
    Difference(
        ("podman-4.*",),
        "It has no such call.",
        ("containers::test_update",),
    ),
    Difference(
        ("podman-*",),
        "It checks credentials over https only, and the registry of the tests speaks http.",
        (
            "auth::test_login",
            "auth_tokens::test_a_build_from_a_private_base",
            "auth_tokens::test_with_an_identity_token",
            "auth_tokens::test_with_an_identity_token_of_a_helper",
            "auth_tokens::test_with_an_identity_token_of_the_configuration",
        ),
    ),
    Difference(
        ("podman-*",),
        "Its pulls, pushes and loads report other steps, or none.",
        (
            "image_transfer::test_leaving_the_block_early_is_no_error",
            "image_transfer::test_open_load_gives_the_steps",
            "image_transfer::test_open_push_gives_the_steps",
            "image_transfer::test_progress_of_a_push_goes_to_a_coroutine_function",
            "images::test_leaving_the_block_early_is_no_error",
            "images::test_open_pull_gives_the_steps",
            "images::test_progress_of_a_pull_goes_to_a_coroutine_function",
            "images::test_progress_of_a_pull_goes_to_a_function",
            "images::test_pull_by_digest",
        ),
    ),
    Difference(
        ("podman-4.*",),
        "Its pulls, pushes and loads report other steps, or none.",
        (
            "image_transfer::test_load_of_a_compressed_archive",
            "image_transfer::test_push_by_the_handle",
        ),
        sometimes=True,
    ),
    Difference(
        ("podman-*",),
        "It has no probes of health without systemd to run them.",
        (
            "container_health::test_it_waits_for_health_and_does_not_poll",
            "container_health::test_the_check_of_the_image_and_none",
            "container_health::test_unhealthy_says_what_the_last_probe_said",
            "container_health::test_what_is_healthy_already",
            "container_health::test_what_recovers",
        ),
    ),
    Difference(
        ("podman-*",),
        "It has no probes of health without systemd to run them.",
        ("container_health::test_what_ends_first",),
        sometimes=True,
    ),
    Difference(
        ("podman-5.*",),
        "It has no probes of health without systemd to run them.",
        ("container_health::test_what_has_ended",),
        sometimes=True,
    ),
    Difference(
        ("podman-*",),
        "It does not heed detach keys over its API.",
        (
            "attach::test_detach_keys_leave_the_container_running",
            "exec::test_detach_keys_end_the_connection",
        ),
    ),
    Difference(
        ("podman-*",),
        "Its archives follow links, keep no owners, make missing directories, and leave out the directory itself.",
        (
            "container_archives::test_a_kind_is_kept_if_asked",
            "container_archives::test_a_link",
            "container_archives::test_a_member_that_would_leave_stays_inside",
            "container_archives::test_info_of_a_file",
            "container_archives::test_info_of_a_link",
            "container_archives::test_owners_and_modes_are_in_it",
            "container_archives::test_owners_are_kept_if_asked",
            "container_archives::test_put_where_all_is_read_only",
            "container_archives::test_put_where_it_cannot_be",
            "container_archives::test_the_content_of_a_directory",
            "container_archives::test_what_is_below_a_file",
            "container_archives::test_what_is_not_there",
        ),
    ),
    Difference(
        ("podman-5.*",),
        "Its archives follow links, keep no owners, make missing directories, and leave out the directory itself.",
        (
            "container_archives::test_a_directory",
            "container_archives::test_a_file",
            "container_archives::test_put",
        ),
        sometimes=True,
    ),
    Difference(
        ("podman-*",),
        "The docker command line copies otherwise through Podman's archives; anydocker is compared with it.",
        (
            "copy::test_copy_from[-L src/link_d/. dst/new]",
            "copy::test_copy_from[src/dir/. dst/dangling]",
            "copy::test_copy_from[src/dir/. dst/new/]",
            "copy::test_copy_from[src/dir/. dst/new]",
            "copy::test_copy_from[src/file/. dst/new]",
            "copy::test_copy_from[src/link_d/. dst/file]",
            "copy::test_copy_from[src/link_d/. dst/new]",
            "copy::test_copy_from[src/link_f/. dst/new]",
            "copy::test_copy_to[src/dir dst/new/.]",
            "copy::test_copy_to[src/dir dst/no/where]",
            "copy::test_copy_to[src/dir/. dst/dir/.]",
            "copy::test_copy_to[src/dir/. dst/dir/]",
            "copy::test_copy_to[src/dir/. dst/dir]",
            "copy::test_copy_to[src/dir/. dst/full/dir]",
            "copy::test_copy_to[src/dir/. dst/full]",
            "copy::test_copy_to[src/dir/. dst/link_d]",
            "copy::test_copy_to[src/dir/. dst/new/.]",
            "copy::test_copy_to[src/dir/. dst/no/where]",
            "copy::test_copy_to[src/dir/./ dst/dir]",
            "copy::test_copy_to[src/dir/empty/. dst/dir]",
            "copy::test_copy_to[src/file dst/dangling/x]",
            "copy::test_copy_to[src/file dst/file/]",
            "copy::test_copy_to[src/file dst/link_f/]",
            "copy::test_copy_to[src/file dst/no/where]",
            "copy::test_copy_to[src/link_d/. dst/dir]",
            "copy::test_copy_to[src/up/. dst/dir]",
            "copy::test_devices",
            "copy::test_the_owner_is_the_user_of_the_container",
        ),
    ),
    Difference(
        ("podman-5.*",),
        "The docker command line copies otherwise through Podman's archives; anydocker is compared with it.",
        ("copy::test_copy_to[src/link_d dst/file]",),
        sometimes=True,
    ),
    Difference(
        ("podman-*",),
        "It has no such option, or ignores it.",
        (
            "container_options::test_a_bind_of_what_does_not_exist",
            "container_options::test_a_volume_is_not_filled_with_what_the_image_has",
            "container_options::test_links",
            "container_options::test_log_options",
            "container_options::test_mount_options",
            "container_options::test_names",
            "container_options::test_what_depends_on_the_machine",
            "container_options::test_what_the_engine_warns_of",
        ),
    ),
    Difference(
        ("podman-4.*",),
        "It has no such option, or ignores it.",
        (
            "container_archives::test_commit_with_a_config",
            "container_options::test_limits",
            "container_options::test_what_is_mounted_below_the_source",
        ),
    ),
    Difference(
        ("podman-*",),
        "It fills in, and checks, the document of a container otherwise.",
        (
            "container_options::test_the_engine_has_it_in_the_config[hostname-domainname-Hostname-Domainname]",
            "container_options::test_the_engine_has_it_in_the_config[stop_signal-stop_grace_seconds-StopSignal-StopTimeout]",
            "container_options::test_the_engine_has_it_in_the_host_config[cgroup_parent-runtime-isolation-volume_driver-CgroupParent-Runtime-Isolation-VolumeDriver]",
            "container_options::test_the_engine_has_it_in_the_host_config[devices-device_cgroup_rules-Devices-DeviceCgroupRules]",
            "container_options::test_the_engine_has_it_in_the_host_config[log_driver-log_options-LogConfig]",
            "container_options::test_the_engine_has_it_in_the_host_config[privileged-cap_add-cap_drop-security_opt-group_add-read_only-Privileged-CapAdd-CapDrop-GroupAdd-ReadonlyRootfs]",
            "container_options::test_the_engine_has_it_in_the_host_config[tmpfs-volumes-Tmpfs-Binds]",
            "container_options::test_the_engine_has_it_in_the_host_config[ulimits-sysctls-Ulimits-Sysctls]",
            "container_options::test_the_engine_has_it_in_the_host_config[userns-ipc-pid-uts-cgroupns-UsernsMode-IpcMode-PidMode-UTSMode-CgroupnsMode]",
            "containers::test_create",
            "containers::test_create_with_what_the_image_has",
        ),
    ),
    Difference(
        ("podman-*",),
        "Its events are others: full names, more of them, and a filter for a label needs the value.",
        (
            "events::test_a_cancelled_receive_loses_nothing",
            "events::test_bad_arguments",
            "events::test_events_of_commands",
            "events::test_events_of_images",
            "events::test_events_of_the_past",
            "events::test_events_start_with_the_block",
            "events::test_the_life_of_a_container",
        ),
    ),
    Difference(
        ("podman-4.*",),
        "Its events are others: full names, more of them, and a filter for a label needs the value.",
        ("events::test_several_values_of_a_filter",),
        sometimes=True,
    ),
    Difference(
        ("podman-*",),
        "Its logs have whole seconds, no details, and pieces of lines.",
        (
            "logs::test_details",
            "logs::test_since_and_until",
            "logs::test_timestamps",
        ),
    ),
    Difference(
        ("podman-4.*",),
        "Its logs have whole seconds, no details, and pieces of lines.",
        ("attach::test_what_was_written_before",),
    ),
    Difference(
        ("podman-*",),
        "Its statistics come every five seconds; the docker command line cuts the first letter of a name.",
        (
            "examples::test_example[watch_stats.py]",
            "stats::test_a_stream_of_samples",
        ),
        sometimes=True,
    ),
    Difference(
        ("podman-*",),
        "Its networks have other names, options and refusals; containers may not send raw packets.",
        (
            "networks::test_a_configuration_for_others",
            "networks::test_a_network_in_use_stays",
            "networks::test_addresses_come_from_the_range",
            "networks::test_connect_is_refused",
            "networks::test_connect_with_a_link",
            "networks::test_connect_with_an_address",
            "networks::test_containers_of_two_networks_do_not_meet",
            "networks::test_create",
            "networks::test_create_is_refused",
            "networks::test_enable_ipv6",
            "networks::test_get",
            "networks::test_list",
            "networks::test_prune",
            "networks::test_remove_is_refused",
            "networks::test_the_end_of_the_block_detaches_what_is_left",
        ),
    ),
    Difference(
        ("podman-4.*",),
        "Its networks have other names, options and refusals; containers may not send raw packets.",
        (
            "networks::test_a_name_that_is_taken",
            "networks::test_connect_gives_a_running_container_an_alias",
            "networks::test_containers_reach_each_other_by_name_and_alias",
        ),
    ),
    Difference(
        ("podman-*",),
        "Its volumes come back with other options and refusals.",
        (
            "volumes::test_create_is_refused",
            "volumes::test_create_with_options_of_the_driver",
            "volumes::test_df",
        ),
    ),
    Difference(
        ("podman-*",),
        "Its service does not speak TLS.",
        ("tls",),
    ),
    Difference(
        ("podman-*",),
        "It counts states, exits and changes otherwise.",
        (
            "container_archives::test_commit_of_a_running_container[True]",
            "container_options::test_ports_of_what_does_not_run",
            "containers::test_changes",
        ),
    ),
    Difference(
        ("podman-*",),
        "It counts states, exits and changes otherwise.",
        ("containers::test_wait_for_what_has_not_been_started",),
        sometimes=True,
    ),
    Difference(
        ("podman-4.*",),
        "It counts states, exits and changes otherwise.",
        (
            "container_options::test_restart",
            "container_replace::test_one_that_runs_is_stopped_not_killed",
            "containers::test_open_run_publishes_ports",
            "containers::test_wait_for_the_removal",
        ),
    ),
    Difference(
        ("podman-4.*",),
        "It counts states, exits and changes otherwise.",
        (
            "container_options::test_how_it_stops",
            "containers::test_stop_says_whether_it_was_running",
        ),
        sometimes=True,
    ),
    Difference(
        ("podman-5.*",),
        "It counts states, exits and changes otherwise.",
        ("containers::test_list",),
        sometimes=True,
    ),
    Difference(
        ("podman-*",),
        "It repeats to a new attach what was sent to an old one, and refuses to attach to what is paused.",
        ("attach::test_attach_to_a_paused_container",),
    ),
    Difference(
        ("podman-*",),
        "It repeats to a new attach what was sent to an old one, and refuses to attach to what is paused.",
        (
            "attach::test_attach_to_what_has_ended",
            "cancellation::test_attach",
        ),
        sometimes=True,
    ),
    Difference(
        ("podman-*",),
        "Each of these calls starts programs: a hundred at once take too long.",
        ("raw::test_connections_are_kept",),
        sometimes=True,
    ),
    Difference(
        ("podman-5.*",),
        "Each of these calls starts programs: a hundred at once take too long.",
        ("cancellation::test_run_that_pulls",),
        sometimes=True,
    ),
    Difference(
        ("podman-*",),
        "It describes itself otherwise, and takes any API version.",
        (
            "command_line::test_the_same_version[1.1]",
            "command_line::test_the_same_version[1.50]",
            "command_line::test_the_same_version[1.999]",
            "command_line::test_the_same_version[1]",
            "raw::test_info",
            "raw::test_ping",
        ),
    ),
    Difference(
        ("podman-4.*",),
        "A pull that is refused fails in the stream, not before it.",
        (
            "auth::test_auths",
            "auth::test_no_or_wrong_password",
            "auth_tokens::test_where_an_entry_is_broken[auths4-None]",
            "auth_tokens::test_where_an_entry_is_broken[wr0ng-secret-None]",
            "auth_tokens::test_where_the_configuration_is_broken",
            "auth_tokens::test_where_the_helper_knows_nothing",
            "auth_tokens::test_without_credentials",
            "image_transfer::test_push_takes_the_tag_latest_unless_there_is_one",
        ),
    ),
    Difference(
        ("podman-*",),
        "The example shows what this engine says in words of its own.",
        (
            "examples::test_example[build_directory.py]",
            "examples::test_example[events.py]",
            "examples::test_example[pull_with_progress.py]",
            "examples::test_example[raw_request.py]",
        ),
    ),
    Difference(
        ("podman-*",),
        "It answers a followed log with its first line, not before, and names nobody in its statistics.",
        ("stats::test_a_sample_says_what_the_command_line_says",),
    ),
    Difference(
        ("podman-4.*",),
        "It answers a followed log with its first line, not before, and names nobody in its statistics.",
        (
            "cancellation::test_streams",
            "engine_killed::test_everyone_who_uses_an_engine_learns_that_it_is_gone",
            "logs::test_a_cancelled_receive_loses_nothing",
            "logs::test_a_hundred_followed_logs_and_ping_still_answers",
            "logs::test_leaving_the_block_closes_the_connection",
            "logs::test_one_reader_at_a_time",
            "logs::test_two_followed_logs_and_stats_at_once",
            "raw::test_leaving_the_client_closes_what_is_open",
            "stats::test_what_does_not_run_uses_nothing",
        ),
    ),
    Difference(
        ("podman-*",),
        "It resets the connection of a process that ends with input unread: TruncatedStream.",
        (
            "exec::test_a_process_need_not_read_its_input",
            "run::test_a_process_need_not_read_its_input",
        ),
        sometimes=True,
    ),
    Difference(
        ("podman-*",),
        "Its list of processes has one column if options for ps are given, and is empty where nothing runs.",
        (
            "cancellation::test_exec_kills_what_it_has_started",
            "containers::test_top",
        ),
    ),
    Difference(
        ("podman-4.*",),
        "Its list of processes has one column if options for ps are given, and is empty where nothing runs.",
        (
            "containers::test_top_of_what_does_not_run",
            "exec_cancelled",
        ),
    ),
)
