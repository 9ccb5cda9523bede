/* What the mock puts into its answers and the load generator looks for.
 *
 *   @t<digits>;   in every event: CLOCK_MONOTONIC in nanoseconds when the event was written, so that a client on the same
 *                 machine can time each event one way
 *   @n<digits>;   in every JSON answer: how many body bytes of the request arrived, so that a body lost or doubled on its way
 *                 is noticed
 *
 * No other byte of an answer is '@'. */
#ifndef MARKS_H
#define MARKS_H

#include <stdint.h>
#include <time.h>

#define MARK_START '@'
#define MARK_TIME 't'
#define MARK_SIZE 'n'
#define MARK_END ';'

#define NS_PER_S 1000000000ull

static inline uint64_t now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * NS_PER_S + (uint64_t)t.tv_nsec;
}

#endif
