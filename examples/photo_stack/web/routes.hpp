// Which handler has which address.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "examples/photo_stack/web/visit.hpp"

namespace photo_web {

enum class audience { everybody, users };
enum class body_kind { none, small, photos };

struct route {
    boost::beast::http::verb method;
    std::string path;                  // as it was added: "/photos/:/delete"
    std::vector<std::string> pattern;  // ":" stands for any one segment
    audience for_whom;
    body_kind body;
    /// The visit outlives the coroutine.
    std::function<boost::asio::awaitable<response>(visit&)> handler;
};

class route_table {
public:
    /// `path` as "/photos/:/delete".
    void add(boost::beast::http::verb method, std::string_view path, audience for_whom, body_kind body,
             std::function<boost::asio::awaitable<response>(visit&)> handler);

    /// `pages` outlive the routes.
    template <class Pages>
    void add(boost::beast::http::verb method, std::string_view path, audience for_whom, body_kind body, Pages* pages,
             boost::asio::awaitable<response> (Pages::*handler)(visit&)) {
        add(method, path, for_whom, body, [pages, handler](visit& v) { return (pages->*handler)(v); });
    }

    /// HEAD is answered as GET. Throws refusal: 404, or 405 when there is another method for that address.
    const route& find(boost::beast::http::verb method, const std::vector<std::string>& segments) const;

private:
    std::vector<route> routes_;
};

/// The number that stands as that segment of the address. Throws not_found when none does.
std::int64_t id_in(const visit& v, std::size_t segment);

}  // namespace photo_web
