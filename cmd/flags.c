#include "cmd/flags.h"

struct cmd_flags cmd_flags;
