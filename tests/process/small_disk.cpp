#include "tests/process/small_disk.hpp"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <vector>

namespace millrace::process {
namespace {

void be_alone() {
    static const bool done = [] {
        if (::unshare(CLONE_NEWNS) != 0 || ::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
            throw std::runtime_error(std::string("mounting a disk needs root: ") + std::strerror(errno));
        return true;
    }();
    static_cast<void>(done);
}

bool mount_ext4(const std::filesystem::path& image, const std::filesystem::path& where, std::uint64_t bytes) {
    const int file = ::open(image.c_str(), O_CREAT | O_RDWR | O_CLOEXEC, 0600);
    const bool sized = file >= 0 && ::ftruncate(file, static_cast<off_t>(bytes)) == 0;
    if (file >= 0) ::close(file);
    for (const auto* program : {"/usr/sbin/mkfs.ext4", "/usr/bin/mount"})
        if (::access(program, X_OK) != 0) return false;
    return sized && run_command("/usr/sbin/mkfs.ext4", {"-q", "-F", image.string()}).code == 0 &&
           run_command("/usr/bin/mount", {"-o", "loop", image.string(), where.string()}).code == 0;
}

bool mount_tmpfs(const std::filesystem::path& where, std::uint64_t bytes) {
    return ::mount("tmpfs", where.c_str(), "tmpfs", 0, ("size=" + std::to_string(bytes)).c_str()) == 0;
}

}  // namespace

small_disk::small_disk(std::uint64_t bytes) {
    be_alone();
    std::filesystem::create_directory(path());
    if (mount_ext4(scratch_.path() / "image", path(), bytes))
        kind_ = "ext4 on a loop device";
    else if (mount_tmpfs(path(), bytes))
        kind_ = "tmpfs";
    else
        throw std::runtime_error(std::string("no disk can be mounted: ") + std::strerror(errno));
}

small_disk::~small_disk() {
    ::umount2(path().c_str(), MNT_DETACH);
}

std::uint64_t small_disk::free_bytes() const { return std::filesystem::space(path()).free; }

std::uint64_t small_disk::bytes() const { return std::filesystem::space(path()).capacity; }

void small_disk::fill_up(std::uint64_t left) {
    const int file = ::open((path() / "filling").c_str(), O_CREAT | O_WRONLY | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0) throw std::runtime_error("the disk cannot be filled up");
    const std::vector<char> zeroes(1u << 20);
    auto wanted = free_bytes() - std::min(free_bytes(), left);
    for (int refusals = 0; wanted > 0 && free_bytes() > left && refusals < 10;) {
        const auto written = ::write(file, zeroes.data(), std::min({std::uint64_t{zeroes.size()}, wanted, free_bytes() - left}));
        if (written > 0) {
            wanted -= static_cast<std::uint64_t>(written);
        } else {  // a file system that allocates late may refuse before it is full
            ++refusals;
            ::fsync(file);
        }
    }
    ::fsync(file);
    ::close(file);
}

void small_disk::remove_filling() { std::filesystem::remove(path() / "filling"); }

}  // namespace millrace::process
