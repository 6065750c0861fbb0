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
    static inline int peek_news(int fd) {
        char byte;
        return recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
    }
    """
    int peek_news(int fd)
    int MSG_DONTWAIT
    int MSG_NOSIGNAL
    Py_ssize_t send(int fd, const char *data, size_t size, int flags)
    double read_clock()

cdef bint COMPILED


@cython.locals(taken=Py_ssize_t)
cpdef Py_ssize_t send_now(int fd, bytes data) except -1

cpdef bint has_news(int fd) except -1

cpdef double monotonic() except -1
