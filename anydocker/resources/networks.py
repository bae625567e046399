"""Networks: ``d.networks``, and the :class:`Network` handle."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import TYPE_CHECKING, Any, Final, TypeVar, cast, final

import anyio
import attrs

from anydocker._concurrency import CLEANUP_SECONDS, finish_within
from anydocker._wire.container import merge
from anydocker._wire.documents import name_at, value_at
from anydocker._wire.query import Filters, encode_filters, path_segment
from anydocker.errors import APIError, Conflict, Forbidden, NotFound
from anydocker.resources.container import Container

if TYPE_CHECKING:
    from anydocker._client import Docker
    from anydocker._transport.messages import Response
    from anydocker.types import NetworkInspect, NetworkPruneResponse, NetworkSummary

__all__ = ("Ipam", "IpamPool", "Network", "Networks", "check_mapping", "check_pairs", "check_word")

T = TypeVar("T")

_MAC_ADDRESS: Final = re.compile(r"[0-9a-fA-F]{2}([:-][0-9a-fA-F]{2}){5}")
# Seconds between two attempts to remove a network that something is still attached to.
_REMOVAL_PAUSE: Final = 0.05


@final
@attrs.frozen
class IpamPool:
    """
    Addresses that a network hands out.

    Attributes:
        subnet: All of them, such as ``10.1.0.0/16`` or ``fd00:1::/64``.
        ip_range: The part of the subnet that containers get theirs from, such as ``10.1.5.0/24``. Default: all of it.
        gateway: The address of the gateway. Default: the engine chooses one.
        aux_addresses: Addresses that no container may get, by the name of what has them.

    Raises:
        ValueError: An attribute is no address or subnet, or lies outside of the subnet; the message names it.
        TypeError: An attribute is of the wrong type; the message names it.
    """

    subnet: str
    ip_range: str | None = attrs.field(default=None, kw_only=True)
    gateway: str | None = attrs.field(default=None, kw_only=True)
    aux_addresses: Mapping[str, str] | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        subnet = _check_subnet(self.subnet, "subnet")
        if self.ip_range is not None:
            part = _check_subnet(self.ip_range, "ip_range")
            if part.network_address not in subnet or part.prefixlen < subnet.prefixlen:
                raise _outside("ip_range", self.ip_range, subnet)
        for what, address in self._addresses():
            if _check_address(address, what) not in subnet:
                raise _outside(what, address, subnet)

    def _addresses(self) -> Iterator[tuple[str, str]]:
        if self.gateway is not None:
            yield "gateway", self.gateway
        for name, address in (check_pairs(self.aux_addresses, "aux_addresses") or {}).items():
            yield f"aux_addresses[{name!r}]", address

    def document(self) -> dict[str, Any]:
        """The engine's ``IPAMConfig``."""
        document = {
            "Subnet": self.subnet,
            "IPRange": self.ip_range,
            "Gateway": self.gateway,
            "AuxiliaryAddresses": check_pairs(self.aux_addresses, "aux_addresses"),
        }
        return _without_none(document)


@final
@attrs.frozen
class Ipam:
    """
    How a network hands out addresses.

    Attributes:
        pools: The addresses: as a rule one pool, or one of IPv4 and one of IPv6. Default: the engine chooses.
        driver: The driver that hands them out. Default: the engine's own.
        options: Its options.

    Raises:
        ValueError: An attribute is out of range; the message names it.
        TypeError: An attribute is of the wrong type; the message names it.
    """

    pools: Sequence[IpamPool] = ()
    driver: str | None = attrs.field(default=None, kw_only=True)
    options: Mapping[str, str] | None = attrs.field(default=None, kw_only=True)

    def __attrs_post_init__(self) -> None:
        check_word(self.driver, "driver")
        check_pairs(self.options, "options")
        match self.pools:
            case [*pools] if _all_are(IpamPool, pools):
                return
            case _:
                raise TypeError(f"pools: expected a sequence of IpamPool, not {self.pools!r}")

    def document(self) -> dict[str, Any]:
        """The engine's ``IPAM``."""
        document = {
            "Driver": self.driver,
            "Config": [pool.document() for pool in self.pools] or None,
            "Options": check_pairs(self.options, "options"),
        }
        return _without_none(document)


@final
@attrs.frozen
class Network:
    """
    A handle on a network; made by ``d.networks``.

    Attributes:
        id: The id; for a handle from ``d.networks.network()`` what that was given.
        name: The name; None where it is not known.
        summary: The document of the listing it comes from; None for others.
        warning: What the engine warned of when this network was created; None where it did not.
    """

    id: str
    name: str | None = attrs.field(default=None, eq=False)
    summary: NetworkSummary | None = attrs.field(default=None, eq=False, repr=False)
    warning: str | None = attrs.field(default=None, eq=False, repr=False)
    _docker: Docker = attrs.field(kw_only=True, eq=False, repr=False, alias="docker")

    @property
    def _path(self) -> str:
        return f"/networks/{path_segment(self.id, 'network')}"

    async def inspect(self, *, verbose: bool = False, scope: str | None = None) -> NetworkInspect:
        """
        The engine's document about this network.

        ``GET /networks/{id}`` (``NetworkInspect``).

        Args:
            verbose: With the services of the swarm that are attached to it.
            scope: Look only among networks of that scope: ``"local"``, ``"swarm"`` or ``"global"``.

        Raises:
            NotFound: There is no such network, or none of that scope.
            ValueError: The scope is blank.
        """
        query = {"verbose": verbose or None, "scope": check_word(scope, "scope")}
        return cast("NetworkInspect", (await self._docker.request("GET", self._path, query=query)).document())

    async def connect(
        self,
        container: Container | str,
        *,
        ipv4: str | None = None,
        ipv6: str | None = None,
        aliases: Sequence[str] = (),
        links: Mapping[str, str] | None = None,
        mac_address: str | None = None,
        driver_opts: Mapping[str, str] | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        """
        Attach a container to this network, running or not.

        ``POST /networks/{id}/connect`` (``NetworkConnect``).

        Args:
            container: The container: a handle, or its id or name.
            ipv4: Its address, out of a subnet that was given when the network was created. Default: a free one.
            ipv6: Its IPv6 address, likewise.
            aliases: Further names that other containers of the network know it by.
            links: Other containers by the name that this one is to know them by.
            mac_address: Its hardware address, such as ``02:42:0a:01:00:05``. API 1.54: older engines ignore it.
            driver_opts: Options of the network's driver.
            config: A raw document that is merged into the one made of the other arguments, and wins, such as
                ``{"EndpointConfig": {"GwPriority": 1}}``.

        Raises:
            NotFound: There is no such network or container.
            Forbidden: The container is attached already, or the address is taken. Podman: EngineFault.
            BadRequest: The container or the network is of a kind that does not allow it, such as ``host``; or an
                address lies outside of the subnets, for which some engines have EngineFault.
            UnsupportedByEngine: ``mac_address`` is given and a lower version is spoken.
            ValueError: An argument is blank or is no address; the message names it.
            TypeError: An argument is of the wrong type; the message names it.

        If cancelled: the container may have been attached.
        """
        endpoint = {
            "IPAMConfig": _endpoint_addresses(ipv4, ipv6),
            "Aliases": _check_aliases(aliases),
            "Links": _links(links),
            "MacAddress": _check_mac_address(mac_address),
            "DriverOpts": check_pairs(driver_opts, "driver_opts"),
        }
        document = {"Container": _container_id(container), "EndpointConfig": _without_none(endpoint)}
        if mac_address is not None and not self._docker.is_podman:
            self._docker.require("1.54", "connect(mac_address=...)")
        document = merge(document, check_mapping(config, "config") or {})
        await self._docker.request("POST", f"{self._path}/connect", json=document, own_connection=True)

    async def disconnect(self, container: Container | str, *, force: bool = False) -> None:
        """
        Detach a container from this network.

        ``POST /networks/{id}/disconnect`` (``NetworkDisconnect``).

        Args:
            container: The container: a handle, or its id or name.
            force: Also if the container does not answer, or is gone and has left its end of the network behind.

        Raises:
            NotFound: There is no such network or container.
            APIError: The container is not attached. The class depends on the engine; EngineFault is a common one.

        If cancelled: the container may have been detached.
        """
        document = {"Container": _container_id(container), "Force": _check_flag(force, "force")}
        await self._docker.request("POST", f"{self._path}/disconnect", json=document, own_connection=True)

    async def remove(self) -> None:
        """
        Remove this network.

        ``DELETE /networks/{id}`` (``NetworkDelete``). Stopped containers do not keep it; they cannot be started
        again, then.

        Raises:
            NotFound: There is no such network.
            Forbidden: A running container is attached to it, or it is one that every engine has, such as ``bridge``.
                Podman: Conflict.

        If cancelled: it may have been removed.
        """
        await self._docker.request("DELETE", self._path, own_connection=True)


@final
class Networks:
    """The networks of an engine: ``d.networks``."""

    def __init__(self, docker: Docker) -> None:
        self._docker = docker

    def network(self, id: str) -> Network:
        """
        A handle on a network by its id or name. Nothing is sent; whether there is one shows when it is used.

        Raises:
            ValueError: It is empty, or could not stand in a path.
        """
        path_segment(id, "network")
        return Network(id, docker=self._docker)

    async def get(self, id: str, *, scope: str | None = None) -> Network:
        """
        Look up a network by its id or name: ``GET /networks/{id}`` (``NetworkInspect``).

        Args:
            id: The id, the beginning of one, or the name.
            scope: Look only among networks of that scope: ``"local"``, ``"swarm"`` or ``"global"``.

        Raises:
            NotFound: There is no such network.
            BadRequest: Several networks have that name, or ids that begin so.
            ValueError: The id is empty, or could not stand in a path; or the scope is blank.
        """
        document = await self.network(id).inspect(scope=scope)
        return Network(name_at(document), value_at(document, "Name", kind=str), docker=self._docker)

    async def create(
        self,
        name: str,
        *,
        driver: str | None = None,
        internal: bool = False,
        attachable: bool = False,
        ingress: bool = False,
        enable_ipv4: bool | None = None,
        enable_ipv6: bool | None = None,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        ipam: Ipam | Mapping[str, Any] | None = None,
        scope: str | None = None,
        config_only: bool = False,
        config_from: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> Network:
        """
        Create a network.

        ``POST /networks/create`` (``NetworkCreate``). In a network of their own, containers find each other by name.

        Args:
            name: The name.
            driver: Its driver, such as ``"macvlan"`` or ``"overlay"``. Default: ``"bridge"``.
            internal: Keep it apart from the world: containers reach each other, and nothing else.
            attachable: Let containers that are no service's be attached to a network of a swarm.
            ingress: Make it the network that published ports of a swarm come in by.
            enable_ipv4: Whether containers get IPv4 addresses. Default: the engine's. API 1.48.
            enable_ipv6: Whether they get IPv6 addresses. Default: the engine's.
            labels: Labels.
            options: Options of the driver.
            ipam: The addresses: an :class:`~anydocker.Ipam`, or the engine's own document.
            scope: Where it is: ``"local"``, ``"swarm"`` or ``"global"``. Default: the driver's.
            config_only: Only keep the configuration, for other networks to take over.
            config_from: The name of such a network, to take the configuration from.
            config: A raw document that is merged into the one made of the other arguments, and wins.

        Returns:
            The network.

        Raises:
            Conflict: There is a network of this name.
            Forbidden: The addresses are in use, or the name is one that every engine has, such as ``bridge``.
            NotFound: There is no such driver, or no network to take the configuration from.
            BadRequest: The engine did not accept the configuration. Some engines: EngineFault.
            UnsupportedByEngine: ``enable_ipv4`` is given and a lower version is spoken.
            ValueError: An argument is blank or out of range; the message names it.
            TypeError: An argument is of the wrong type; the message names it.

        If cancelled: there is no network. Should the engine not answer for ten seconds, it may create one later.
        """
        document = _network_document(
            name,
            driver=driver,
            internal=internal,
            attachable=attachable,
            ingress=ingress,
            enable_ipv4=enable_ipv4,
            enable_ipv6=enable_ipv6,
            labels=labels,
            options=options,
            ipam=ipam,
            scope=scope,
            config_only=config_only,
            config_from=config_from,
            config=config,
        )
        return await self._create(document)

    @asynccontextmanager
    async def open_create(
        self,
        name: str,
        *,
        driver: str | None = None,
        internal: bool = False,
        attachable: bool = False,
        ingress: bool = False,
        enable_ipv4: bool | None = None,
        enable_ipv6: bool | None = None,
        labels: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
        ipam: Ipam | Mapping[str, Any] | None = None,
        scope: str | None = None,
        config_only: bool = False,
        config_from: str | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> AsyncGenerator[Network, None]:
        """
        Create a network for as long as a block lasts.

        The arguments and errors are those of :meth:`create`.

        Yields:
            The network. When the block ends, by any road, containers that are still attached are detached, and it is
            removed: the engine has ten seconds for that.
        """
        document = _network_document(
            name,
            driver=driver,
            internal=internal,
            attachable=attachable,
            ingress=ingress,
            enable_ipv4=enable_ipv4,
            enable_ipv6=enable_ipv6,
            labels=labels,
            options=options,
            ipam=ipam,
            scope=scope,
            config_only=config_only,
            config_from=config_from,
            config=config,
        )
        network = await self._create(document)
        try:
            yield network
        finally:
            await finish_within(CLEANUP_SECONDS, lambda: _remove_for_good(network))

    async def _create(self, document: dict[str, Any]) -> Network:
        if "EnableIPv4" in document:
            self._docker.require("1.48", "create(enable_ipv4=...)")
        if not self._docker.speaks("1.44"):
            # Without it, these engines make a second network of the same name.
            document = {"CheckDuplicate": True, **document}

        async def undo(response: Response) -> None:
            await _remove_for_good(Network(name_at(response.document()), docker=self._docker))

        response = await self._docker.request("POST", "/networks/create", json=document, undo=undo)
        made = response.document()
        warning = None if made.get("Warning") is None else value_at(made, "Warning", kind=str)
        return Network(name_at(made), document["Name"], warning=warning or None, docker=self._docker)

    async def prune(self, *, filters: Filters | None = None) -> NetworkPruneResponse:
        """
        Remove every network that no container uses: ``POST /networks/prune`` (``NetworkPrune``).

        Args:
            filters: Only those, such as ``{"until": "24h", "label": {"ci": None}}``.

        Returns:
            The names.

        If cancelled: the engine may go on.
        """
        query = {"filters": encode_filters(filters)}
        response = await self._docker.request("POST", "/networks/prune", query=query, own_connection=True)
        return cast("NetworkPruneResponse", response.document())

    async def list(self, *, filters: Filters | None = None) -> list[Network]:
        """
        The networks: ``GET /networks`` (``NetworkList``).

        Args:
            filters: Which ones, such as ``{"driver": "bridge", "label": {"ci": None}}`` or ``{"dangling": True}``.

        Returns:
            Handles with the document of the listing as their ``summary``. It does not say which containers are
            attached; ``inspect`` does.
        """
        query = {"filters": encode_filters(filters)}
        documents = (await self._docker.request("GET", "/networks", query=query)).documents()
        return [self._from_summary(cast("NetworkSummary", document)) for document in documents]

    def _from_summary(self, summary: NetworkSummary) -> Network:
        return Network(name_at(summary), value_at(summary, "Name", kind=str), summary, docker=self._docker)


async def _remove_for_good(network: Network) -> None:
    """Remove a network with whatever is attached to it, also when somebody else is at it."""
    while True:
        try:
            await network.remove()
        except NotFound:
            return
        except (Forbidden, Conflict):
            await _detach_all(network)
            await anyio.sleep(_REMOVAL_PAUSE)
        else:
            return


async def _detach_all(network: Network) -> None:
    # Whatever is refused here is tried again, or shows when the network is removed.
    with suppress(APIError):
        attached = (await network.inspect()).get("Containers") or {}
        for endpoint in attached.values():
            with suppress(APIError):
                # By name: what a container has left behind here has no id.
                await network.disconnect(endpoint["Name"], force=True)


def _network_document(
    name: str,
    *,
    driver: str | None,
    internal: bool,
    attachable: bool,
    ingress: bool,
    enable_ipv4: bool | None,
    enable_ipv6: bool | None,
    labels: Mapping[str, str] | None,
    options: Mapping[str, str] | None,
    ipam: Ipam | Mapping[str, Any] | None,
    scope: str | None,
    config_only: bool,
    config_from: str | None,
    config: Mapping[str, Any] | None,
) -> dict[str, Any]:
    """The document for a network; ``config`` is merged into it and wins."""
    path_segment(name, "name")
    document = {
        "Name": name,
        "Driver": check_word(driver, "driver"),
        "Internal": _check_flag(internal, "internal"),
        "Attachable": _check_flag(attachable, "attachable"),
        "Ingress": _check_flag(ingress, "ingress"),
        "EnableIPv4": None if enable_ipv4 is None else _check_flag(enable_ipv4, "enable_ipv4"),
        "EnableIPv6": None if enable_ipv6 is None else _check_flag(enable_ipv6, "enable_ipv6"),
        "Labels": check_pairs(labels, "labels"),
        "Options": check_pairs(options, "options"),
        "IPAM": ipam.document() if isinstance(ipam, Ipam) else check_mapping(ipam, "ipam"),
        "Scope": check_word(scope, "scope"),
        "ConfigOnly": _check_flag(config_only, "config_only"),
        "ConfigFrom": None if config_from is None else {"Network": check_word(config_from, "config_from")},
    }
    return merge(_without_none(document), check_mapping(config, "config") or {})


def _without_none(document: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None}


# -- checks of arguments: what is fit to be sent comes back


def check_word(word: str | None, what: str) -> str | None:
    """
    Check a name that may be left out.

    Raises:
        ValueError: It is blank, has a control character, or is ``.`` or ``..``.
        TypeError: It is not a str.
    """
    if word is not None:
        path_segment(word, what)
    return word


def check_pairs(pairs: Mapping[str, str] | None, what: str) -> dict[str, str] | None:
    """
    Check a mapping of texts, such as labels, that may be left out.

    Raises:
        ValueError: A key is empty.
        TypeError: It is no mapping of str to str.
    """
    document = check_mapping(pairs, what)
    if document is None:
        return None
    if not _all_are(str, document.values()):
        msg = f"{what}: expected a mapping of str to str, not {pairs!r}"
        raise TypeError(msg)
    if "" in document:
        msg = f"{what}: a key is empty"
        raise ValueError(msg)
    return document


def check_mapping(document: Mapping[str, Any] | None, what: str) -> dict[str, Any] | None:
    """
    Check a document that may be left out.

    Raises:
        TypeError: It is no mapping with keys of type str.
    """
    match document:
        case None:
            return None
        case Mapping() if _all_are(str, document):
            return dict(document)
        case _:
            msg = f"{what}: expected a mapping with keys of type str, not {document!r}"
            raise TypeError(msg)


def _all_are(kind: type, values: Iterable[object]) -> bool:
    return all(isinstance(value, kind) for value in values)


def _check_flag(value: bool, what: str) -> bool:
    match value:
        case bool():
            return value
        case _:
            raise TypeError(f"{what}: expected True or False, not {value!r}")


def _check_subnet(text: str, what: str) -> IPv4Network | IPv6Network:
    network = _parse(ip_network, text, what)
    if not text.partition("/")[2].isdigit():
        msg = f"{what}={text!r}: expected an address and the length of its prefix, such as '10.1.0.0/16'"
        raise ValueError(msg)
    return network


def _check_address(text: str, what: str) -> IPv4Address | IPv6Address:
    return _parse(ip_address, text, what)


def _parse(parse: Callable[[str], T], text: str, what: str) -> T:
    match text:
        case str():
            try:
                return parse(text)
            except ValueError as exc:
                msg = f"{what}: {exc}"
                raise ValueError(msg) from exc
        case _:
            raise TypeError(f"{what}: expected an address of type str, not {text!r}")


def _outside(what: str, text: str, subnet: IPv4Network | IPv6Network) -> ValueError:
    return ValueError(f"{what}={text!r} lies outside of the subnet {subnet}")


def _endpoint_addresses(ipv4: str | None, ipv6: str | None) -> dict[str, str] | None:
    addresses: dict[str, str] = {}
    for version, text in ((4, ipv4), (6, ipv6)):
        if text is None:
            continue
        if _check_address(text, f"ipv{version}").version != version:
            msg = f"ipv{version}={text!r} is no IPv{version} address"
            raise ValueError(msg)
        addresses[f"IPv{version}Address"] = text
    return addresses or None


def _check_mac_address(text: str | None) -> str | None:
    if check_word(text, "mac_address") is not None and not _MAC_ADDRESS.fullmatch(text or ""):
        msg = f"mac_address={text!r}: expected six pairs of hexadecimal digits, such as '02:42:0a:01:00:05'"
        raise ValueError(msg)
    return text


def _check_aliases(aliases: Sequence[str]) -> list[str] | None:
    if isinstance(aliases, str):
        raise TypeError("aliases is a sequence, not one str: aliases=[...]")
    for alias in aliases:
        path_segment(alias, "aliases")
    return list(aliases) or None


def _links(links: Mapping[str, str] | None) -> list[str] | None:
    return [f"{container}:{alias}" for container, alias in (check_pairs(links, "links") or {}).items()] or None


def _container_id(container: Container | str) -> str:
    name = container.id if isinstance(container, Container) else container
    path_segment(name, "container")
    return name
