#pragma once
#include <stdbool.h>

#include "base/watch.h"

/* Writing to a closed pipe, or past the limit on a file's length (ulimit -f), becomes an error that is
 * reported like any other. */
void signals_become_errors(void);
/* Whoever asks for progress (SIGUSR1, SIGINFO) before there is any gets no answer, and ends nothing. */
void signals_ignore_requests(void);

/* Catches SIGINT, SIGTERM and SIGHUP into the watch's stop flag (a second one kills), starts
 * progress: shown on stdout, or on request (SIGUSR1, SIGINFO) on stderr, or neither. */
const struct watch *signals_watch(bool shown, bool on_request, unsigned step_percent);
/* Rate and time left on stderr, beside progress that is shown. bytes: it counts bytes. */
void signals_show_pace(bool bytes);
/* Before something else is written to stderr. */
void signals_clear_pace(void);
/* Ends the progress line, if there is one; may be called twice. */
void signals_watch_end(bool ok);

/* The signal that stopped us, 0 for none. */
int signals_stopped(void);
