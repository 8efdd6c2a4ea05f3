#include "judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	judge_image(data, size);
	return 0;
}
