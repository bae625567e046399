"""
The Docker Engine client for structured concurrency: native on trio and asyncio.

::

    async with anydocker.connect() as d:
        done = await d.containers.run("busybox", ["echo", "hello"])
"""

from anydocker._client import Docker as Docker
from anydocker._client import Ping as Ping
from anydocker._client import Statistics as Statistics
from anydocker._client import connect as connect
from anydocker._endpoint import Endpoint as Endpoint
from anydocker._endpoint import TLSConfig as TLSConfig
from anydocker._transport.messages import Response as Response
from anydocker._wire.archive import ArchiveInfo as ArchiveInfo
from anydocker._wire.build import BuildLimits as BuildLimits
from anydocker._wire.build import BuildOutput as BuildOutput
from anydocker._wire.build import Ulimit as Ulimit
from anydocker._wire.buildkit import BuildLog as BuildLog
from anydocker._wire.buildkit import BuildStatus as BuildStatus
from anydocker._wire.buildkit import BuildStep as BuildStep
from anydocker._wire.buildkit import BuildTrace as BuildTrace
from anydocker._wire.buildkit import BuildWarning as BuildWarning
from anydocker._wire.mount import Mount as Mount
from anydocker._wire.options import ContainerOptions as ContainerOptions
from anydocker._wire.options import Device as Device
from anydocker._wire.options import HealthCheck as HealthCheck
from anydocker.auth import Credentials as Credentials
from anydocker.errors import APIError as APIError
from anydocker.errors import ArchiveError as ArchiveError
from anydocker.errors import AuthError as AuthError
from anydocker.errors import BadRequest as BadRequest
from anydocker.errors import BuildFailed as BuildFailed
from anydocker.errors import ConfigError as ConfigError
from anydocker.errors import Conflict as Conflict
from anydocker.errors import ConnectError as ConnectError
from anydocker.errors import ContainerFailed as ContainerFailed
from anydocker.errors import ContextError as ContextError
from anydocker.errors import DockerError as DockerError
from anydocker.errors import EngineFault as EngineFault
from anydocker.errors import ExecFailed as ExecFailed
from anydocker.errors import ExitError as ExitError
from anydocker.errors import Forbidden as Forbidden
from anydocker.errors import InvalidReference as InvalidReference
from anydocker.errors import LoadFailed as LoadFailed
from anydocker.errors import MissingExtra as MissingExtra
from anydocker.errors import NotFound as NotFound
from anydocker.errors import ProtocolError as ProtocolError
from anydocker.errors import PullFailed as PullFailed
from anydocker.errors import PushFailed as PushFailed
from anydocker.errors import StreamError as StreamError
from anydocker.errors import TruncatedStream as TruncatedStream
from anydocker.errors import Unauthorized as Unauthorized
from anydocker.errors import Unavailable as Unavailable
from anydocker.errors import Unhealthy as Unhealthy
from anydocker.errors import UnsupportedByEngine as UnsupportedByEngine
from anydocker.resources.container import Container as Container
from anydocker.resources.container import PublishedPort as PublishedPort
from anydocker.resources.containers import Containers as Containers
from anydocker.resources.distribution import Distribution as Distribution
from anydocker.resources.exec import ExecStream as ExecStream
from anydocker.resources.images import Image as Image
from anydocker.resources.images import Images as Images
from anydocker.resources.images import Pushed as Pushed
from anydocker.resources.networks import Ipam as Ipam
from anydocker.resources.networks import IpamPool as IpamPool
from anydocker.resources.networks import Network as Network
from anydocker.resources.networks import Networks as Networks
from anydocker.resources.volumes import Volume as Volume
from anydocker.resources.volumes import Volumes as Volumes
from anydocker.streams import ArchiveStream as ArchiveStream
from anydocker.streams import AttachStream as AttachStream
from anydocker.streams import BodyStream as BodyStream
from anydocker.streams import BuildEvent as BuildEvent
from anydocker.streams import BuildStream as BuildStream
from anydocker.streams import Completed as Completed
from anydocker.streams import Event as Event
from anydocker.streams import EventStream as EventStream
from anydocker.streams import Frame as Frame
from anydocker.streams import Line as Line
from anydocker.streams import LineStream as LineStream
from anydocker.streams import Output as Output
from anydocker.streams import OutputStream as OutputStream
from anydocker.streams import PendingExit as PendingExit
from anydocker.streams import Progress as Progress
from anydocker.streams import ProgressStream as ProgressStream
from anydocker.streams import Stats as Stats
from anydocker.streams import StatsStream as StatsStream
from anydocker.streams import Stream as Stream
from anydocker.streams import WebSocketStream as WebSocketStream

__all__ = (
    "connect",
    # the client and its namespaces
    "Docker",
    "Endpoint",
    "Ping",
    "Response",
    "Statistics",
    "Containers",
    "Distribution",
    "Images",
    "Networks",
    "Volumes",
    # handles
    "Container",
    "ExecStream",
    "Image",
    "Network",
    "PendingExit",
    "Volume",
    # arguments
    "BuildLimits",
    "BuildOutput",
    "ContainerOptions",
    "Credentials",
    "Device",
    "HealthCheck",
    "Ipam",
    "IpamPool",
    "Mount",
    "TLSConfig",
    "Ulimit",
    # values
    "ArchiveInfo",
    "BuildEvent",
    "BuildLog",
    "BuildStatus",
    "BuildStep",
    "BuildTrace",
    "BuildWarning",
    "Completed",
    "Event",
    "Frame",
    "Line",
    "Output",
    "Progress",
    "PublishedPort",
    "Pushed",
    "Stats",
    # streams
    "ArchiveStream",
    "AttachStream",
    "BodyStream",
    "BuildStream",
    "EventStream",
    "LineStream",
    "OutputStream",
    "ProgressStream",
    "StatsStream",
    "Stream",
    "WebSocketStream",
    # errors
    "APIError",
    "ArchiveError",
    "AuthError",
    "BadRequest",
    "BuildFailed",
    "ConfigError",
    "Conflict",
    "ConnectError",
    "ContainerFailed",
    "ContextError",
    "DockerError",
    "EngineFault",
    "ExecFailed",
    "ExitError",
    "Forbidden",
    "InvalidReference",
    "LoadFailed",
    "MissingExtra",
    "NotFound",
    "ProtocolError",
    "PullFailed",
    "PushFailed",
    "StreamError",
    "TruncatedStream",
    "Unauthorized",
    "Unavailable",
    "Unhealthy",
    "UnsupportedByEngine",
)
