#include "examples/photo_stack/web/static_files.hpp"

#include <stdexcept>

#include "examples/photo_stack/web/text_file.hpp"

namespace photo_web {

namespace fs = std::filesystem;

namespace {

std::string media_type_of(const fs::path& file) {
    static const std::map<std::string, std::string> types = {
        {".css", "text/css; charset=utf-8"}, {".js", "text/javascript; charset=utf-8"}, {".svg", "image/svg+xml"}, {".yaml", "application/yaml"}};
    const auto found = types.find(file.extension().string());
    if (found == types.end()) throw std::runtime_error("nobody has said which media type " + file.string() + " has");
    return found->second;
}

}  // namespace

static_files::static_files(const fs::path& folder) {
    for (const auto& entry : fs::recursive_directory_iterator(folder)) {
        if (!entry.is_regular_file()) continue;
        response answer{.type = media_type_of(entry.path()), .body = read_text_file(entry.path())};
        answer.headers.emplace_back("Cache-Control", "public, max-age=60");  // their addresses stay when they change
        answers_.emplace("/" + entry.path().lexically_relative(folder).generic_string(), std::move(answer));
    }
}

void static_files::add_to(route_table& routes) const {
    for (const auto& [address, answer] : answers_) {
        const auto send = [&answer](visit&) -> boost::asio::awaitable<response> { co_return answer; };
        routes.add(boost::beast::http::verb::get, address, audience::everybody, body_kind::none, send);
    }
}

}  // namespace photo_web
