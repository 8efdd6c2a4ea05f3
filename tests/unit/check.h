#pragma once
/* A unit test: void functions with CHECKs, RUN from main, DONE at its end. Speaks TAP. */
#include <stdbool.h>
#include <stdio.h>

static int check_failed, run_nr, run_failed;

#define CHECK(cond)                                                                        \
	do {                                                                               \
		if (!(cond)) {                                                             \
			check_failed++;                                                    \
			printf("# %s:%d: not so: %s\n", __FILE__, __LINE__, #cond);        \
		}                                                                          \
	} while (0)

#define RUN(test)                                                                          \
	do {                                                                               \
		check_failed = 0;                                                          \
		test();                                                                    \
		printf("%s %d - %s\n", check_failed ? "not ok" : "ok", ++run_nr, #test);   \
		run_failed += check_failed != 0;                                           \
	} while (0)

#define DONE() (printf("1..%d\n", run_nr), run_failed != 0)
