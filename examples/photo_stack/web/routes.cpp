#include "examples/photo_stack/web/routes.hpp"

#include <algorithm>
#include <stdexcept>

#include "examples/photo_stack/web/parsing/text_rules.hpp"
#include "examples/photo_stack/web/refusal.hpp"

namespace photo_web {

using boost::beast::http::verb;

namespace {

bool matches(const std::vector<std::string>& pattern, const std::vector<std::string>& segments) {
    return std::equal(pattern.begin(), pattern.end(), segments.begin(), segments.end(),
                      [](const std::string& expected, const std::string& segment) { return expected == ":" || expected == segment; });
}

}  // namespace

void route_table::add(verb method, std::string_view path, audience for_whom, body_kind body, std::function<boost::asio::awaitable<response>(visit&)> handler) {
    auto pattern = parse_target(path);
    if (!pattern) throw std::logic_error("'" + std::string(path) + "' is no address");
    routes_.push_back({method, std::string(path), std::move(pattern->segments), for_whom, body, std::move(handler)});
}

const route& route_table::find(verb method, const std::vector<std::string>& segments) const {
    bool known = false;
    for (const auto& r : routes_) {
        if (!matches(r.pattern, segments)) continue;
        if (r.method == (method == verb::head ? verb::get : method)) return r;
        known = true;
    }
    if (!known) throw not_found();
    throw refusal(405, "method_not_allowed", "This address does not take that method.");
}

std::int64_t id_in(const visit& v, std::size_t segment) {
    const auto id = parse_id(v.where.segments.at(segment));
    if (!id) throw not_found();
    return *id;
}

}  // namespace photo_web
