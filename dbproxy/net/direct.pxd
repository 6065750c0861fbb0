cimport cython

cdef extern from *:
    """
    #include <arpa/inet.h>
    #include <errno.h>
    #include <netinet/in.h>
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
    static char accepted_from[INET_ADDRSTRLEN];
    static int accepted_port;
    static inline int accept_waiting(int fd) {
        struct sockaddr_storage peer;
        struct sockaddr_in *internet = (struct sockaddr_in *) &peer;
        socklen_t size = sizeof peer;
        int accepted = accept4(fd, (struct sockaddr *) &peer, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
        accepted_from[0] = 0;
        if (accepted >= 0 && peer.ss_family == AF_INET) {
            inet_ntop(AF_INET, &internet->sin_addr, accepted_from, sizeof accepted_from);
            accepted_port = ntohs(internet->sin_port);
        }
        return accepted;
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
    int accept_waiting(int fd)
    const char *accepted_from
    int accepted_port
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

@cython.locals(fd=int)
cpdef tuple accept_next(listening)

cpdef bint has_news(int fd) except -1

cpdef double monotonic() except -1
