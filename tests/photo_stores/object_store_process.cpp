#include "tests/photo_stores/object_store_process.hpp"

#include <stdlib.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <thread>

namespace photo_stack {

namespace fs = std::filesystem;
using boost::asio::ip::tcp;

namespace {

const fs::path conf_template = fs::path(MILLRACE_SOURCE_DIR) / "examples/photo_stack/object_store/nginx.conf";

int free_port() {
    boost::asio::io_context io;
    return tcp::acceptor(io, {boost::asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
}

bool answers(int port) {
    boost::asio::io_context io;
    tcp::socket socket(io);
    boost::system::error_code failed;
    socket.connect({boost::asio::ip::address_v4::loopback(), static_cast<std::uint16_t>(port)}, failed);
    return !failed;
}

void replace_all(std::string& text, const std::string& what, const std::string& by) {
    for (auto at = text.find(what); at != std::string::npos; at = text.find(what, at + by.size())) text.replace(at, what.size(), by);
}

/// As `stack up` fills it in.
std::string configuration(const std::string& folder, int port) {
    std::ifstream in(conf_template);
    std::string text{std::istreambuf_iterator<char>(in), {}};
    replace_all(text, "${data}", folder);
    replace_all(text, "${address}:8000", "127.0.0.1:" + std::to_string(port));
    replace_all(text, "${address}:8001", "127.0.0.1:" + std::to_string(free_port()));
    replace_all(text, "${edge1.private}", "192.0.2.1");
    replace_all(text, "${edge2.private}", "192.0.2.2");
    replace_all(text, "${values.edge_seconds}", "10");
    replace_all(text, "$$", "$");
    return text;
}

}  // namespace

object_store_process::object_store_process() : port_(free_port()) {
    folder_ = fs::temp_directory_path() / "object-store-XXXXXX";
    if (::mkdtemp(folder_.data()) == nullptr) throw std::runtime_error("cannot make " + folder_);
    std::ofstream(folder_ + "/nginx.conf") << configuration(folder_, port_);
    start();
}

object_store_process::~object_store_process() {
    if (child_) stop();
    fs::remove_all(folder_);
}

void object_store_process::start() {
    // One process, so that it is gone as a whole.
    child_.emplace("/usr/sbin/nginx", std::vector<std::string>{"-e", "stderr", "-c", folder_ + "/nginx.conf", "-g", "master_process off;"});
    const auto until = std::chrono::steady_clock::now() + millrace::process::patience;
    while (!answers(port_)) {
        if (child_->wait(std::chrono::milliseconds{10}) || std::chrono::steady_clock::now() > until) throw std::runtime_error("nginx does not serve: " + child_->errors());
    }
}

void object_store_process::stop() {
    child_->kill();
    child_.reset();
}

bool object_store_process::has(const std::string& path) const { return fs::exists(folder_ + "/objects" + path); }

}  // namespace photo_stack
