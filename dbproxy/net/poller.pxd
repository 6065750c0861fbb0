cimport cython

from dbproxy.net.direct cimport monotonic

cdef extern from *:
    """
    #include <sys/epoll.h>
    #define EVENTS 256
    static struct epoll_event happened[EVENTS];
    static inline int wait_for_events(int fd, double patience) {
        int count, milliseconds = patience < 0 ? -1 : patience < 1e6 ? (int) (patience * 1e3 + 0.999) : 1000000000;
        if (!milliseconds)
            return epoll_wait(fd, happened, EVENTS, 0);
        Py_BEGIN_ALLOW_THREADS
        count = epoll_wait(fd, happened, EVENTS, milliseconds);
        Py_END_ALLOW_THREADS
        return count;
    }
    static inline int event_fd(int number) { return happened[number].data.fd; }
    static inline int event_mask(int number) { return happened[number].events; }
    """
    int wait_for_events(int fd, double patience)
    int event_fd(int number)
    int event_mask(int number)

cdef bint COMPILED


cdef class Watcher:
    cdef ready(self, int events)
    cdef end(self)


@cython.final
cdef class Entrance(Watcher):
    cdef object accept


@cython.final
cdef class Poller:
    cdef readonly object epoll
    cdef readonly int fd
    cdef list watchers
    cdef bint interrupted
    cdef readonly list ended
    cdef public object wake

    cpdef watch(self, int fd, Watcher watcher, int events, int before)
    cpdef forget(self, int fd, Watcher watcher)
    cpdef bury(self, Watcher watcher)
    @cython.locals(watcher=Watcher)
    cpdef tell_ended(self)
    @cython.locals(left=double, end=double)
    cpdef list wait(self, double timeout)
    @cython.locals(count=int, number=int)
    cdef bint serve(self, double patience, list others) except -1
    @cython.locals(watcher=Watcher)
    cdef tell(self, int fd, int events, list others)
