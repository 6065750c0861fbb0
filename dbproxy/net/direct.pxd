cimport cython

cdef extern from *:
    """
    #include <errno.h>
    #include <sys/socket.h>
    #include <time.h>
    #ifndef MSG_NOSIGNAL
    #define MSG_NOSIGNAL 0
    #endif
    static inline double read_clock(void) {
        struct timespec moment;
        clock_gettime(CLOCK_MONOTONIC, &moment);
        return moment.tv_sec + moment.tv_nsec * 1e-9;
    }
    static char filled[65536];
    static inline Py_ssize_t fill(int fd) { return recv(fd, filled, sizeof filled, MSG_DONTWAIT); }
    static inline int last_error(void) { return errno; }
    static inline int is_broken(void) { return errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR; }
    static inline int peek_news(int fd) {
        char byte;
        return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    }
    """
    int peek_news(int fd)
    const char *filled
    Py_ssize_t fill(int fd)
    int is_broken()
    int last_error()
    int MSG_DONTWAIT
    int MSG_NOSIGNAL
    Py_ssize_t send(int fd, const char *data, size_t size, int flags)
    double read_clock()

cdef bint COMPILED


@cython.locals(taken=Py_ssize_t)
cpdef Py_ssize_t send_now(int fd, bytes data) except -1

@cython.locals(size=Py_ssize_t)
cpdef bytes receive(int fd)

cpdef bint has_news(int fd) except -1

cpdef double monotonic() except -1
