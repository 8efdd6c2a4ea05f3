#include "judge_repair.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	judge_repair(data, size, &(struct repair_options){ .all = true });
	judge_repair(data, size, &(struct repair_options){ .all = false });
	judge_repair(data, size,
		     &(struct repair_options){ .all = true, .free_suspects = true,
					       .drop_snapshots = true });
	return 0;
}
