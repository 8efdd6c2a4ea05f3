#include "cmd/signals.h"

#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <unistd.h>

#include "out/progress.h"

static struct progress progress;
static atomic_int stop_signal; /* lock-free, so a handler may store into it */

static void on_stop(int signal_nr)
{
	atomic_store(&stop_signal, signal_nr);
}

/* Answers at once from what is known, however rarely the work reports. */
static void on_request(int signal_nr)
{
	progress_report(&progress, STDERR_FILENO);
}

static void catch_signal(int signal_nr, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	sigemptyset(&action.sa_mask);
	sigaction(signal_nr, &action, NULL);
}

/* What the parent chose to have ignored (nohup) stays ignored. */
static void catch_stop(int signal_nr)
{
	struct sigaction old;

	if (sigaction(signal_nr, NULL, &old) == 0 && old.sa_handler == SIG_IGN)
		return;
	catch_signal(signal_nr, on_stop, (int)SA_RESETHAND);
}

void signals_become_errors(void)
{
	catch_signal(SIGPIPE, SIG_IGN, 0);
	catch_signal(SIGXFSZ, SIG_IGN, 0);
}

static void catch_requests(void (*handler)(int))
{
	catch_signal(SIGUSR1, handler, SA_RESTART);
#ifdef SIGINFO
	catch_signal(SIGINFO, handler, SA_RESTART);
#endif
}

void signals_ignore_requests(void)
{
	catch_requests(SIG_IGN);
}

const struct watch *signals_watch(bool shown, bool requests, unsigned step_percent)
{
	static const struct watch watch = {
		.progress = progress_update,
		.arg = &progress,
		.stop = &stop_signal,
	};

	progress_begin(&progress, shown ? stdout : NULL, step_percent);
	catch_requests(requests ? on_request : SIG_IGN);
	catch_stop(SIGINT);
	catch_stop(SIGTERM);
	catch_stop(SIGHUP);
	return &watch;
}

void signals_show_pace(bool bytes)
{
	progress_show_pace(&progress, stderr, bytes);
}

void signals_clear_pace(void)
{
	progress_clear_pace(&progress);
}

void signals_watch_end(bool ok)
{
	progress_end(&progress, ok);
}

int signals_stopped(void)
{
	return atomic_load(&stop_signal);
}
