"""Registries that take tokens: a real one, with a token server beside it, as the large public ones are."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager, suppress

import pytest
from anyio.from_thread import BlockingPortal

import anydocker
from anydocker import APIError, AuthError, Credentials, Docker, PushFailed
from anydocker.testing import Registry
from tests.live.docker_home import DockerHome

pytestmark = [pytest.mark.anyio, pytest.mark.live]

USER, PASSWORD = "alice", "s3cret"
GOOD = Credentials(username=USER, password=PASSWORD)
WRONG = Credentials(username=USER, password="wr0ng-secret")


@asynccontextmanager
async def _published(host: str, registry: Registry) -> AsyncGenerator[str, None]:
    async with anydocker.connect(host) as d:
        for path in ("public/app", "team/app"):
            name = f"{registry.address}/{path}:1"
            await d.images.image("busybox").tag(name)
            await d.images.push(name, auth=GOOD)
            await d.images.image(name).remove()
    yield registry.address


@pytest.fixture(scope="session")
def address(engine_host: str, token_registry: Registry, anydocker_portal: BlockingPortal) -> Iterator[str]:
    """The registry's; it has ``public/app:1`` and ``team/app:1``."""
    with anydocker_portal.wrap_async_context_manager(_published(engine_host, token_registry)) as found:
        yield found


@pytest.fixture
async def private(docker: Docker, address: str, home: DockerHome) -> AsyncGenerator[str, None]:
    """The name of an image that only the user may pull; the configuration is empty."""
    yield f"{address}/team/app:1"
    with suppress(anydocker.NotFound):
        await docker.images.image(f"{address}/team/app:1").remove()


async def pull(docker: Docker, name: str, auth: Credentials | None = None) -> None:
    """Pull it anew."""
    with suppress(anydocker.NotFound):
        await docker.images.image(name).remove()
    image = await docker.images.pull(name, auth=auth)
    assert image.name == name


def entry(password: str = PASSWORD) -> dict[str, str]:
    return {"auth": b64encode(f"{USER}:{password}".encode()).decode()}


# -- what works


async def test_anybody_may_pull_what_is_public(docker: Docker, address: str, home: DockerHome) -> None:
    await pull(docker, f"{address}/public/app:1")
    await docker.images.image(f"{address}/public/app:1").remove()


async def test_with_a_password(docker: Docker, private: str) -> None:
    await pull(docker, private, GOOD)
    pushed = await docker.images.push(private, auth=GOOD)
    assert (pushed.digest or "").startswith("sha256:")


async def test_with_an_identity_token(docker: Docker, private: str, address: str) -> None:
    token = await docker.login(address, username=USER, password=PASSWORD)
    assert token == Credentials(identity_token=token.identity_token, server=address)
    assert token.identity_token
    await pull(docker, private, token)
    assert (await docker.images.push(private, auth=token)).digest
    found = await docker.distribution.inspect(private, auth=token)
    assert found["Descriptor"]["digest"].startswith("sha256:")


async def test_with_an_identity_token_of_the_configuration(
    docker: Docker, private: str, address: str, home: DockerHome
) -> None:
    token = (await docker.login(address, username=USER, password=PASSWORD)).identity_token
    # The command line keeps the user's name beside the token, and no password.
    home.configure(auths={address: {"auth": b64encode(f"{USER}:".encode()).decode(), "identitytoken": token}})
    await pull(docker, private)
    home.configure(auths={address: {"identitytoken": token}})
    await pull(docker, private)
    await docker.images.push(private)


async def test_with_an_identity_token_of_a_helper(docker: Docker, private: str, address: str, home: DockerHome) -> None:
    token = (await docker.login(address, username=USER, password=PASSWORD)).identity_token
    home.install_helper({address: ("<token>", token)})
    home.configure(credsStore="test")
    await pull(docker, private)
    await docker.images.push(private)
    assert home.asked() == [f"get {address}"] * 2


@pytest.mark.parametrize("way", ["password", "token", "helper"])
async def test_a_build_from_a_private_base(
    way: str, docker: Docker, private: str, address: str, home: DockerHome
) -> None:
    text = f"FROM {private}\nCMD true"
    with pytest.raises(anydocker.DockerError, match="unauthorized|denied|no basic auth"):
        await docker.images.build(dockerfile_text=text)
    token = (await docker.login(address, username=USER, password=PASSWORD)).identity_token
    home.install_helper({address: (USER, PASSWORD)})
    configurations: dict[str, dict[str, object]] = {
        "password": {"auths": {address: entry()}},
        "token": {"auths": {address: {"identitytoken": token}}},
        "helper": {"credHelpers": {address: "test"}},
    }
    home.configure(**configurations[way])
    image = await docker.images.build(dockerfile_text=text)
    await image.remove()


# -- which helper is asked


async def test_only_the_helper_that_is_needed_is_run(
    docker: Docker, private: str, address: str, home: DockerHome
) -> None:
    home.install_helper({address: (USER, PASSWORD)})
    home.install_program("docker-credential-other", 'echo other >> "$0.log"; exit 1')
    home.configure(
        credHelpers={address: "test", "other.example": "other"},
        credsStore="other",
        auths={address: entry("wrong"), "third.example": {}},
    )
    await pull(docker, private)
    assert home.asked() == [f"get {address}"]
    assert not (home.directory / "docker-credential-other.log").exists()


async def test_no_helper_is_run_where_credentials_are_given_or_not_needed(
    docker: Docker, private: str, address: str, home: DockerHome
) -> None:
    home.install_helper({address: (USER, PASSWORD)})
    home.configure(credsStore="test")
    await pull(docker, private, GOOD)
    await docker.images.list()
    await docker.containers.list()
    await docker.images.image(private).inspect()
    assert home.asked() == []


# -- what a user reads where it does not work


# A registry does not tell whoever may not see an image whether it is there.
DENIED = re.compile("denied|unauthorized")


async def message(docker: Docker, name: str, auth: Credentials | None = None) -> str:
    with pytest.raises((APIError, AuthError, PushFailed)) as caught:
        await pull(docker, name, auth)
    text = str(caught.value)
    assert "wr0ng-secret" not in text + repr(caught.value)
    return text


async def test_without_credentials(docker: Docker, private: str) -> None:
    assert DENIED.search(await message(docker, private))
    await docker.images.image("busybox").tag(private)
    with pytest.raises((APIError, PushFailed), match=DENIED):
        await docker.images.push(private)


async def test_with_a_wrong_password(docker: Docker, private: str, address: str, home: DockerHome) -> None:
    assert "unauthorized" in await message(docker, private, WRONG)
    home.configure(auths={address: entry("wr0ng-secret")})
    assert "unauthorized" in await message(docker, private)
    with pytest.raises(APIError, match="unauthorized") as caught:
        await docker.login(address, username=USER, password="wr0ng-secret")
    assert "wr0ng-secret" not in str(caught.value)


async def test_with_a_wrong_identity_token(docker: Docker, private: str) -> None:
    assert "unauthorized" in await message(docker, private, Credentials(identity_token="wr0ng-secret"))


async def test_where_the_helper_knows_nothing(docker: Docker, private: str, home: DockerHome) -> None:
    home.install_helper({})
    home.configure(credsStore="test")
    assert DENIED.search(await message(docker, private))


HELPERS = {
    "missing": (None, "cannot be run: No such file or directory"),
    "failing": ("echo wr0ng-secret >&2; echo 'the keychain is locked'; exit 1", "the keychain is locked"),
    "silent": ("exit 3", "status 3"),
    "garbage": ("echo 'wr0ng-secret {'", "its answer is not what a helper says"),
    "nothing": ("exit 0", "its answer is not what a helper says"),
    "half": ("""echo '{"Username": "wr0ng-secret"}'""", "its answer is not what a helper says"),
    "a list": ("echo '[\"wr0ng-secret\"]'", "its answer is not what a helper says"),
    "numbers": ("""echo '{"Username": 1, "Secret": 2}'""", "its answer is not what a helper says"),
    "no token": ("""echo '{"Username": "<token>", "Secret": ""}'""", "its answer is not what a helper says"),
    "no user": ("""echo '{"Username": "", "Secret": "wr0ng-secret"}'""", "its answer is not what a helper says"),
}


@pytest.mark.parametrize("case", HELPERS)
async def test_where_the_helper_fails(case: str, docker: Docker, private: str, address: str, home: DockerHome) -> None:
    script, why = HELPERS[case]
    if script is not None:
        home.install_program("docker-credential-odd", script)
    home.configure(credHelpers={address: "odd"})
    text = await message(docker, private)
    assert "docker-credential-odd" in text
    assert address in text
    assert text.endswith(why)


@pytest.mark.parametrize(
    ("auths", "why"),
    [
        ({"auth": "wr0ng-secret"}, "is not user:password in base64"),
        ({"auth": 7}, "is not user:password in base64"),
        ({"auth": b64encode(b"wr0ng-secret").decode()}, "is not user:password in base64"),
        ("wr0ng-secret", None),
        ({"identitytoken": ""}, None),
    ],
)
async def test_where_an_entry_is_broken(
    auths: object, why: str | None, docker: Docker, private: str, address: str, home: DockerHome
) -> None:
    home.configure(auths={address: auths})
    text = await message(docker, private)
    expected = f"the entry for {address} in config.json {why}"
    assert text == expected if why is not None else DENIED.search(text)


async def test_where_the_configuration_is_broken(docker: Docker, private: str, home: DockerHome) -> None:
    (home.directory / "config.json").write_text('{"auths": "wr0ng-secret')
    file = home.directory / "config.json"
    assert await message(docker, private) == f"{file} cannot be read: it does not hold a JSON object"
    (home.directory / "config.json").write_text("")
    assert DENIED.search(await message(docker, private))
