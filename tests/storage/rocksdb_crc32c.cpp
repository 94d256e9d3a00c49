// The library's slow checksum must not be the one that runs.
#include <dlfcn.h>

#include <catch2/catch.hpp>

#include "tests/storage/engines.hpp"

namespace millrace::storage {

TEST_CASE("RocksDB computes its checksums with our function") {
    CHECK(rocksdb_crc32c_is_in_effect());
}

TEST_CASE("the symbol that RocksDB calls resolves to this executable") {
    void* resolved = dlsym(RTLD_DEFAULT, "_ZN7rocksdb6crc32c6ExtendEjPKcm");
    REQUIRE(resolved != nullptr);
    Dl_info found{};
    REQUIRE(dladdr(resolved, &found) != 0);
    CHECK(std::string(found.dli_fname).find("librocksdb") == std::string::npos);
}

}  // namespace millrace::storage
