#include "examples/photo_stack/web/loose_files.hpp"

#include <pqxx/result>

namespace photo_web {

void note_loose_files(transaction& tx, std::int64_t photo, int version) {
    tx.exec_params("insert into loose_files (photo_id, version) values ($1, $2) on conflict do nothing", photo, version);
}

void keep_loose_files(transaction& tx, std::int64_t photo, int version) {
    const auto kept = tx.exec_params("delete from loose_files where photo_id = $1 and version = $2 and not sweeping", photo, version);
    if (kept.affected_rows() != 1) throw database_unavailable("the files of photo " + std::to_string(photo) + " were swept before it was committed", false);
}

}  // namespace photo_web
