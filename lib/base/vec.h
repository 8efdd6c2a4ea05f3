#pragma once
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

/* Room for one more element in a growing array; doubles. False when memory is out; the
 * array is then as it was. Use: if (!vec_grow(&v.items, v.nr, &v.room)) ... */
static inline bool vec_grow_size(void **items, size_t nr, size_t *room, size_t element)
{
	if (nr < *room)
		return true;
	size_t want = *room ? *room * 2 : 16;
	void *more;

	if (want > SIZE_MAX / element)
		return false;
	more = realloc(*items, want * element);
	if (!more)
		return false;
	*items = more;
	*room = want;
	return true;
}

#define vec_grow(items, nr, room)                                                          \
	vec_grow_size((void **)(items), (nr), (room), sizeof **(items))

/* How many of the nr items, which rise in `field`, are below `key`: where the first one that is not
 * stands, or would stand. */
#define vec_below(items, nr, field, key)                                                   \
	({                                                                                 \
		size_t low_ = 0, high_ = (nr);                                             \
		while (low_ < high_) {                                                     \
			size_t mid_ = low_ + (high_ - low_) / 2;                           \
			if ((items)[mid_].field < (key))                                   \
				low_ = mid_ + 1;                                           \
			else                                                               \
				high_ = mid_;                                              \
		}                                                                          \
		low_;                                                                      \
	})
