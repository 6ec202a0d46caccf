"""An exporter of Arrow arrays whose every field and callback a test decides.

It fills the structures of the Arrow C data interface with ctypes, counts how often each is
released, and overwrites the memory of an array that is released, so that a view that outlives its
array is seen.
"""

import ctypes
from collections import Counter

import numpy as np

_Release = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class CSchema(ctypes.Structure):
    pass


class CArray(ctypes.Structure):
    pass


class CStream(ctypes.Structure):
    pass


CSchema._fields_ = [
    ("format", ctypes.c_void_p),
    ("name", ctypes.c_void_p),
    ("metadata", ctypes.c_void_p),
    ("flags", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("children", ctypes.POINTER(ctypes.POINTER(CSchema))),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]
CArray._fields_ = [
    ("length", ctypes.c_int64),
    ("null_count", ctypes.c_int64),
    ("offset", ctypes.c_int64),
    ("n_buffers", ctypes.c_int64),
    ("n_children", ctypes.c_int64),
    ("buffers", ctypes.POINTER(ctypes.c_void_p)),
    ("children", ctypes.POINTER(ctypes.POINTER(CArray))),
    ("dictionary", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]
_GetSchema = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(CStream), ctypes.POINTER(CSchema))
_GetNext = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(CStream), ctypes.POINTER(CArray))
_GetError = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(CStream))
CStream._fields_ = [
    ("get_schema", _GetSchema),
    ("get_next", _GetNext),
    ("get_last_error", ctypes.c_void_p),
    ("release", ctypes.c_void_p),
    ("private_data", ctypes.c_void_p),
]

_new_capsule = ctypes.pythonapi.PyCapsule_New
_new_capsule.restype = ctypes.py_object
_new_capsule.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p]
_Destructor = ctypes.PYFUNCTYPE(None, ctypes.c_void_p)
_string = ctypes.create_string_buffer


#: Whatever C has an address of, for good: a release may come after the exporter is gone.
_KEPT = []


class Part:
    """One array of a tree: a type, its numbers, its buffers (None is NULL) and its children."""

    def __init__(
        self,
        kind,
        length,
        buffers,
        children=(),
        offset=0,
        null_count=0,
        *,
        n_buffers=None,
        n_children=None,
        name="",
    ):
        self.name = name
        self.kind, self.length, self.offset, self.null_count = kind, length, offset, null_count
        self.buffers, self.children = list(buffers), list(children)
        self.n_buffers = len(self.buffers) if n_buffers is None else n_buffers
        self.n_children = len(self.children) if n_children is None else n_children


class Exporter:
    """Gives chunks of one type by ``__arrow_c_stream__``."""

    def __init__(self, *chunks, fails_after=None):
        self.chunks = chunks
        self.fails_after = fails_after
        #: How often the schema, the stream, and each chunk by its number was given and released.
        self.given, self.released = Counter(), Counter()

    def _keep(self, value):
        _KEPT.append(value)
        return value

    def _text(self, text):
        """The address of a string of C; None is NULL."""
        return None if text is None else ctypes.addressof(self._keep(_string(text.encode())))

    def _callback(self, kind, name, done=lambda: None):
        self.given[name] += 1

        def release(address):
            self.released[name] += 1
            done()
            kind.from_address(address).release = None

        return ctypes.cast(self._keep(_Release(release)), ctypes.c_void_p).value

    @property
    def alive(self):
        """What was given and is not released; what is released twice is below zero."""
        counted = {name: self.given[name] - self.released[name] for name in self.given}
        return {name: count for name, count in counted.items() if count and "." not in name}

    def _schema(self, part, into, name):
        into.format, into.name = self._text(part.kind), self._text(part.name)
        into.flags, into.metadata, into.dictionary = 2, None, None
        into.n_children = part.n_children
        children = [
            self._schema(child, self._keep(CSchema()), f"{name}.{place}")
            for place, child in enumerate(part.children)
        ]
        pointers = (ctypes.POINTER(CSchema) * max(1, len(children)))(*map(ctypes.pointer, children))
        into.children = self._keep(pointers)
        into.release = self._callback(CSchema, name)
        return into

    def _array(self, part, into, name, memory):
        # The test's own buffers stay as they are: those that are given away get overwritten.
        given = [None if buffer is None else np.array(buffer) for buffer in part.buffers]
        memory += [buffer for buffer in given if buffer is not None]
        addresses = [None if buffer is None else buffer.ctypes.data for buffer in given]
        into.length, into.null_count, into.offset = part.length, part.null_count, part.offset
        into.n_buffers, into.n_children = part.n_buffers, part.n_children
        into.dictionary = None
        into.buffers = self._keep((ctypes.c_void_p * max(1, len(given)))(*addresses))
        children = [
            self._array(child, self._keep(CArray()), f"{name}.{place}", memory)
            for place, child in enumerate(part.children)
        ]
        pointers = (ctypes.POINTER(CArray) * max(1, len(children)))(*map(ctypes.pointer, children))
        into.children = self._keep(pointers)

        def overwrite():
            if "." not in name:
                for buffer in memory:
                    buffer.view(np.uint8).fill(0xAA)

        self._keep(memory)
        into.release = self._callback(CArray, name, overwrite)
        return into

    def __arrow_c_stream__(self, requested_schema=None):
        stream, left = self._keep(CStream()), iter(enumerate(self.chunks))

        def get_schema(_stream, out):
            self._schema(self.chunks[0], out.contents, "schema")
            return 0

        def get_next(_stream, out):
            place, chunk = next(left, (None, None))
            if place == self.fails_after is not None:
                return 5  # EIO
            if chunk is None:
                out.contents.release = None
                return 0
            self._array(chunk, out.contents, str(place), [])
            return 0

        stream.get_schema = self._keep(_GetSchema(get_schema))
        stream.get_next = self._keep(_GetNext(get_next))
        text = self._text("the disk is gone")
        error = self._keep(_GetError(lambda _stream: text))
        stream.get_last_error = ctypes.cast(error, ctypes.c_void_p).value
        stream.release = self._callback(CStream, "stream")

        def destroy(_capsule):  # whoever moved the stream out has set its callback to NULL
            if stream.release:
                _Release(stream.release)(ctypes.addressof(stream))

        destructor = ctypes.cast(self._keep(_Destructor(destroy)), ctypes.c_void_p)
        return _new_capsule(ctypes.addressof(stream), b"arrow_array_stream", destructor)
