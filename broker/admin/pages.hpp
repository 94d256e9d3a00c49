// What admin HTTP answers: which path is which page. No sockets, no HTTP library; how topics and the like look is in descriptions.hpp.
#pragma once

#include <boost/asio/awaitable.hpp>
#include <boost/asio/thread_pool.hpp>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/access.hpp"
#include "broker/admin/metrics.hpp"
#include "broker/admin/view.hpp"

namespace millrace::admin {

/// As much of a request as a page depends on.
struct request {
    std::string method = "GET";
    std::string target;         // a path and perhaps a query
    std::string authorization;  // the header's value
};

struct page {
    unsigned status = 200;
    std::string body{};
    std::string type = "application/json";
    std::vector<std::pair<std::string, std::string>> headers{};  // besides those that every answer has
};

/// {"error":NAME,"message":WHAT} and a newline.
page failure(unsigned status, std::string_view name, std::string_view what);

/// One thread, the loop's, but for a thread of its own that writes the metrics down. Coroutines of get() end with the loop's io_context, which must be
/// stopped before the pages go.
class pages {
public:
    /// `broker` outlives the pages, and `access`, which may change: whoever asks for more than health needs a token with the right admin. Null: nobody
    /// needs one.
    explicit pages(const view& broker, const access_list* access = nullptr) : broker_(broker), access_(access) {}

    /// HEAD as GET: whoever sends the answer leaves the body out. Gives way to others while it gathers much.
    boost::asio::awaitable<page> get(request asked);

private:
    /// Of a list: what follows `after`, and how much of it.
    struct part {
        std::string after;
        std::size_t limit = 1000;
    };

    /// What a list is made from: names, a page at a time, the topic that each is or belongs to, and how it looks; empty: it is gone meanwhile.
    struct named_list {
        std::function<result<core::answers::name_page>(const core::shard&, const std::string& after, std::size_t limit)> names;
        std::function<std::string(const std::string& name)> topic;
        std::function<std::string(const core::shard&, const std::string& name)> describe;
    };

    error refuse_stranger(const request& asked, const std::string& path) const;
    page health() const;
    page readiness() const;
    page broker() const;
    boost::asio::awaitable<page> metrics();
    boost::asio::awaitable<snapshot> take_snapshot() const;
    boost::asio::awaitable<page> beneath_v1(std::string path, std::string query) const;
    boost::asio::awaitable<page> topics(part wanted) const;
    boost::asio::awaitable<page> subscriptions(std::string topic, part wanted) const;
    boost::asio::awaitable<page> named(std::string what, named_list from, part wanted) const;
    boost::asio::awaitable<page> sessions(part wanted) const;
    std::uint32_t shard_of(const std::string& topic) const;
    page topic(const std::string& name) const;
    page subscription(const std::string& topic, const std::string& name) const;
    static result<part> read_part(const std::string& query);

    const view& broker_;
    const access_list* access_;
    std::size_t scrapes_ = 0;  // under way
    boost::asio::thread_pool formatter_{1};
};

}  // namespace millrace::admin
