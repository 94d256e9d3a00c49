// Copies of whole batches, in this program and the libraries under it.
//
// Before 2.39 the C library copies all from 2 KiB on with `rep movsb`. AMD's processors since Zen 3 say that this is fast, and where the target is not aligned, as that
// of a batch mostly is not, they do it at two thirds of what a loop does and less (glibc bug 30994). So there memcpy and memmove are defined here, in the executable,
// which is where its libraries look first; small copies, those that overlap, and all on other processors, go on to the C library's.
#pragma once

#include <cstddef>

namespace millrace {

inline constexpr std::size_t large_copy_bytes = 4096;

/// Whether large copies are taken over. Not where the C library or the processor needs no help, nor with sanitizers, which watch copies themselves.
bool takes_large_copies();

}  // namespace millrace
