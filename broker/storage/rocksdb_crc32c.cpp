// Hardware CRC-32C for RocksDB. Debian builds librocksdb without it, which costs a third of the write throughput; its function has a global
// symbol that the library calls through its own PLT, so a definition in the executable is the one that is called.
//
// This object is linked from a static library because rocksdb_crc32c_is_in_effect() is in it, and main and the tests call that.
#include <rocksdb/file_checksum.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

#include "broker/storage/rocksdb_store.hpp"
#include "proto/crc32c.hpp"

namespace {

// Of this thread alone, so that counting costs nothing where several threads check blocks at once.
thread_local std::uint64_t calls = 0;

}  // namespace

// The library's own declaration is in a header that is not installed; its symbol is _ZN7rocksdb6crc32c6ExtendEjPKcm.
namespace rocksdb::crc32c {

std::uint32_t Extend(std::uint32_t crc, const char* data, std::size_t size);

__attribute__((visibility("default"))) std::uint32_t Extend(std::uint32_t crc, const char* data, std::size_t size) {
    ++calls;
    return millrace::proto::crc32c(crc, data, size);
}

}  // namespace rocksdb::crc32c

namespace millrace::storage {
namespace {

struct known_value {
    std::string bytes;
    std::string checksum;  // big-endian, as the library gives it
};

// RFC 3720, B.4, and the usual check value.
const known_value known_values[] = {
    {std::string("123456789"), std::string("\xE3\x06\x92\x83", 4)},
    {std::string(32, '\0'), std::string("\x8A\x91\x36\xAA", 4)},
    {std::string(32, '\xFF'), std::string("\x62\xA8\xAB\x43", 4)},
};

/// Computed by code inside the library, by whichever function it calls.
std::string checksum_by_library(const std::string& bytes) {
    const auto factory = rocksdb::GetFileChecksumGenCrc32cFactory();
    const auto generator = factory->CreateFileChecksumGenerator({});
    generator->Update(bytes.data(), bytes.size());
    generator->Finalize();
    return generator->GetChecksum();
}

}  // namespace

bool rocksdb_crc32c_is_in_effect() {
    for (const auto& known : known_values) {
        const auto before = calls;
        if (checksum_by_library(known.bytes) != known.checksum || calls == before) {
            return false;
        }
    }
    return true;
}

}  // namespace millrace::storage
