#include "judge_repair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	judge_repair(data, size, true);
	judge_repair(data, size, false);
	return 0;
}
