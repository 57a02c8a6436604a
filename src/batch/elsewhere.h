/// Exports of a list on other machines.
#pragma once

#include <deque>

#include "batch/pool.h"

namespace onnxport::batch {

/// Runs the jobs by options.engine. One that is lost, with its process or its machine, is started once more
/// at the end; a result that comes twice counts once.
void run_elsewhere(const ManyOptions& options, std::deque<Job> jobs, const Record& record,
                   ManyReport& report);

}  // namespace onnxport::batch
