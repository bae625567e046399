"""
What flows: streams, and the values they carry.

Streams come from the ``open_...`` methods of the client and of the handles, each an ``async with`` block. All of
them share what :class:`Stream` promises.
"""

from anydocker._wire.frames import Frame as Frame
from anydocker._wire.frames import StreamName as StreamName
from anydocker._wire.lines import Line as Line
from anydocker.streams._archive import ArchiveStream as ArchiveStream
from anydocker.streams._base import BodyStream as BodyStream
from anydocker.streams._base import Stream as Stream
from anydocker.streams._events import Event as Event
from anydocker.streams._events import EventStream as EventStream
from anydocker.streams._exit import PendingExit as PendingExit
from anydocker.streams._output import AttachStream as AttachStream
from anydocker.streams._output import Completed as Completed
from anydocker.streams._output import LineStream as LineStream
from anydocker.streams._output import Output as Output
from anydocker.streams._output import OutputStream as OutputStream
from anydocker.streams._progress import BuildEvent as BuildEvent
from anydocker.streams._progress import BuildStream as BuildStream
from anydocker.streams._progress import Progress as Progress
from anydocker.streams._progress import ProgressStream as ProgressStream
from anydocker.streams._stats import Stats as Stats
from anydocker.streams._stats import StatsStream as StatsStream
from anydocker.streams._websocket import WebSocketStream as WebSocketStream

__all__ = (
    "ArchiveStream",
    "AttachStream",
    "BodyStream",
    "BuildEvent",
    "BuildStream",
    "Completed",
    "Event",
    "EventStream",
    "Frame",
    "Line",
    "LineStream",
    "Output",
    "OutputStream",
    "PendingExit",
    "Progress",
    "ProgressStream",
    "Stats",
    "StatsStream",
    "Stream",
    "StreamName",
    "WebSocketStream",
)
