#include "client/cli/input.hpp"

#include <cerrno>
#include <cstring>

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <boost/asio/buffer.hpp>

#include "client/cli/command.hpp"

namespace millrace::cli {
namespace {

constexpr std::size_t read_bytes = 256 * 1024;

[[noreturn]] void fail(const std::string& path, const std::string& why) { throw failure{"cannot read " + path + ": " + why}; }

}  // namespace

input::input(boost::asio::any_io_executor executor, const std::string& path) : path_(path == "-" ? "stdin" : path), stream_(std::move(executor)) {
    const int opened = path == "-" ? ::dup(STDIN_FILENO) : ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    if (opened < 0) fail(path_, std::strerror(errno));
    struct stat about {};
    ::fstat(opened, &about);
    if (S_ISFIFO(about.st_mode) || S_ISSOCK(about.st_mode) || S_ISCHR(about.st_mode)) {
        boost::system::error_code refused;
        stream_.assign(opened, refused);
        if (!refused) return;  // /dev/null and the like are refused: they are read as files are
    }
    file_ = opened;
}

input::~input() {
    if (file_ >= 0) ::close(file_);
}

boost::asio::awaitable<bool> input::read_some(std::string& out) {
    if (stopped_) co_return false;
    const auto before = out.size();
    out.resize(before + read_bytes);
    std::size_t size = 0;
    if (file_ >= 0) {
        const auto n = ::read(file_, out.data() + before, read_bytes);
        if (n < 0) fail(path_, std::strerror(errno));
        size = static_cast<std::size_t>(n);
    } else {
        const auto [failed, n] = co_await stream_.async_read_some(asio::buffer(out.data() + before, read_bytes), as_result);
        if (failed && failed != asio::error::eof && !stopped_) fail(path_, failed.message());
        size = n;
    }
    out.resize(before + size);
    co_return size > 0;
}

void input::stop() {
    stopped_ = true;
    boost::system::error_code ignored;
    stream_.cancel(ignored);
}

}  // namespace millrace::cli
