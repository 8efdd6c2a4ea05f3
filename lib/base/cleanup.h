#pragma once
#include <pthread.h>
#include <stdlib.h>

/* Plain buffers and locks are released by attribute, and leave a function through steal(). */

static inline void cleanup_free(void *pp)
{
	free(*(void **)pp);
}

#define AUTO_FREE __attribute__((cleanup(cleanup_free)))

#define steal(pp)                                                                          \
	({                                                                                 \
		__typeof__(*(pp)) steal_tmp_ = *(pp);                                      \
		*(pp) = NULL;                                                              \
		steal_tmp_;                                                                \
	})

static inline pthread_mutex_t *lock_take(pthread_mutex_t *m)
{
	pthread_mutex_lock(m);
	return m;
}

static inline void cleanup_unlock(pthread_mutex_t **m)
{
	pthread_mutex_unlock(*m);
}

/* Holds the lock to the end of the scope. */
#define LOCK_CAT2(a, b) a##b
#define LOCK_CAT(a, b) LOCK_CAT2(a, b)
#define LOCKED(m)                                                                          \
	__attribute__((cleanup(cleanup_unlock), unused)) pthread_mutex_t *LOCK_CAT(        \
		lock_scope_, __LINE__) = lock_take(m)
