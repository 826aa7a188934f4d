#pragma once

/// SIGXFSZ: what a process is sent when it writes beyond its RLIMIT_FSIZE. By default it dies of it. A store
/// must get the error instead (EFBIG), on whichever thread it writes: ours, RocksDB's, the program's. So the
/// signal is ignored, unless the program has said itself what is to be done with it. A program that it starts
/// inherits that.

namespace dormouse {

void ignore_file_size_signal() noexcept;

} // namespace dormouse
