cdef class Router:
    cdef readonly object primary
    cdef readonly object room
    cdef readonly object cluster
    cdef readonly object commits
    cdef public object settings
    cdef public object rules
    cdef public object plugin
    cdef readonly object make_pool
    cdef readonly dict pools
    cdef public object catalog
    cdef public double catalog_read_at
    cdef public bint catalog_stale
    cdef readonly dict objections
    cdef readonly object decisions
    cdef readonly object rescues
    cdef readonly dict rescued
    cdef readonly dict wishes

    cpdef judge(self, statement, session)
    cpdef wishes_of(self, settings)
    cpdef choose(self, verdict, session)
    cpdef tuple find(self, verdict, session)
