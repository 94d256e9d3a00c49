// Files that nobody asks for, or that nobody will ask for if nothing more happens, as rows: see db/011_loose_files.sql. Within the transactions of others.
#pragma once

#include <cstdint>

#include "examples/photo_stack/web/transaction_pool.hpp"

namespace photo_web {

/// Of a version, or of the whole photo with `all_files`.
inline constexpr int all_files = 0;

void note_loose_files(transaction& tx, std::int64_t photo, int version);

/// Somebody asks for them from now on. Throws database_unavailable when it took so long that they were swept.
void keep_loose_files(transaction& tx, std::int64_t photo, int version);

}  // namespace photo_web
