// What RocksDB counts for a thread costs more than the counting.
#include <rocksdb/perf_context.h>

#include <catch2/catch.hpp>
#include <thread>

#include "tests/storage/engines.hpp"

namespace millrace::storage {
namespace {

template <class Work>
std::uint64_t comparisons_counted(Work work) {
    std::uint64_t counted = 0;
    std::thread([&] {
        rocksdb::get_perf_context()->Reset();
        work();
        counted = rocksdb::get_perf_context()->user_key_comparison_count;
    }).join();
    return counted;
}

}  // namespace

TEST_CASE("RocksDB counts nothing for the threads that write and read") {
    engine e(engine_kind::rocksdb);
    const auto epoch = open_shard(*e);
    const auto write = [&](std::uint64_t at) { REQUIRE(!commit(*e, epoch, {append(partition(1), at, at, "text"), core::put_row{"row", "value"}})); };
    write(1);
    CHECK(comparisons_counted([&] { write(2); }) == 0);  // a lone small group is written by who commits it
    CHECK(comparisons_counted([&] { REQUIRE(e->read(partition(1), {1}, 1u << 20).value().size() == 2); }) == 0);
    CHECK(comparisons_counted([&] { REQUIRE(e->scan({"row", "rox"}, 10).value().size() == 1); }) == 0);
}

}  // namespace millrace::storage
