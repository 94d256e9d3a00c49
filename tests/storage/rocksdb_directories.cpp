// What is wrong with a store's directory is said in words that name it.
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/storage/engines.hpp"
#include "tests/storage/forgetful_file_system.hpp"

namespace millrace::storage {
namespace {

constexpr const char* second_process_store = "MILLRACE_TEST_STORE";

error refusal_of(const rocksdb_options& options) {
    const auto opened = open_rocksdb_store(options);
    return opened ? error{} : opened.failure();
}

bool names(const error& refused, const std::filesystem::path& path) {
    return refused.what.find(path.string()) != std::string::npos;
}

/// Refuses to make files, as a directory of somebody else's does (tests may run as root, whom rights do not stop).
class read_only_file_system final : public rocksdb::FileSystemWrapper {
public:
    read_only_file_system() : FileSystemWrapper(rocksdb::FileSystem::Default()) {}
    const char* Name() const override { return "read only"; }
    rocksdb::IOStatus NewWritableFile(const std::string& name, const rocksdb::FileOptions&, std::unique_ptr<rocksdb::FSWritableFile>*,
                                      rocksdb::IODebugContext*) override {
        return rocksdb::IOStatus::IOError("Permission denied", name);
    }
};

}  // namespace

TEST_CASE("what the second process of the next test sees", "[.second_process]") {
    const auto refused = refusal_of(options_for(getenv(second_process_store)));
    CHECK(refused.code == errc::store_in_use);
}

TEST_CASE("a store that is open is in use, in this process and in another") {
    const scratch_directory scratch;
    const auto options = options_for(scratch.path());
    auto open = open_or_fail(options);
    const auto refused = refusal_of(options);
    CHECK(refused.code == errc::store_in_use);
    CHECK(names(refused, scratch.path()));

    REQUIRE(setenv(second_process_store, scratch.path().c_str(), 1) == 0);
    const auto child = fork();
    if (child == 0) {
        execl("/proc/self/exe", "test_storage", "[.second_process]", static_cast<char*>(nullptr));
        _exit(99);
    }
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    open.reset();
    CHECK_FALSE(refusal_of(options));
}

TEST_CASE("a file, a missing parent and a directory that cannot be written are named") {
    const scratch_directory scratch;
    const auto file = scratch.path() / "file";
    std::ofstream(file) << "x";
    auto refused = refusal_of(options_for(file));
    CHECK(refused.code == errc::storage_failure);
    CHECK(names(refused, file));

    const auto orphan = scratch.path() / "missing" / "store";
    refused = refusal_of(options_for(orphan));
    CHECK(refused.code == errc::storage_failure);
    CHECK(names(refused, orphan));
    CHECK_FALSE(std::filesystem::exists(orphan.parent_path()));

    auto options = options_for(scratch.path() / "store");
    options.file_system = std::make_shared<read_only_file_system>();
    refused = refusal_of(options);
    CHECK(refused.code == errc::storage_failure);
    CHECK(names(refused, options.directory));
}

TEST_CASE("a directory is made in an existing one, with a slash at its end or without") {
    const scratch_directory scratch;
    CHECK_FALSE(refusal_of(options_for(scratch.path() / "store")));
    CHECK_FALSE(refusal_of(options_for(scratch.path() / "store/")));
    CHECK_FALSE(refusal_of(options_for(scratch.path() / "other/")));
}

TEST_CASE("a damaged database is corruption") {
    const scratch_directory scratch;
    { open_or_fail(options_for(scratch.path())); }
    for (const auto* name : {"CURRENT", "CURRENT.copy"}) {
        std::ofstream(scratch.path() / name, std::ios::trunc) << "MANIFEST-garbage";
    }
    const auto refused = refusal_of(options_for(scratch.path()));
    CHECK(refused.code == errc::corruption);
    CHECK(names(refused, scratch.path()));
}

}  // namespace millrace::storage
