// What the workers have done, as it comes from the broker, to whoever watches the photo now. Each web server has a subscription of its own, so that
// each hears everything. Nothing depends on it: what is there stands in the catalog, too, and a broker that is away makes pages less lively.
#pragma once

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/awaitable.hpp>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "examples/photo_stack/photos/photo_messages.hpp"
#include "examples/photo_stack/web/event_stream.hpp"
#include "examples/photo_stack/web/photo_links.hpp"
#include "millrace/client_types.hpp"

namespace photo_web {

struct live_settings {
    std::vector<std::string> brokers;                  // "HOST:PORT", one in each data centre: a photo is uploaded in one, and watched in any; none: there are no workers
    millrace::client::connection_settings connection;  // to each of them
    std::string subscription;                          // of this web server alone
};

/// Somebody who watches a photo: the version of it that comes, or a later one. What is told twice is sent once.
class photo_watch {
public:
    photo_watch(std::int64_t photo, const photo_links& links, boost::asio::any_io_executor loop) : photo_(photo), links_(links), events_(std::move(loop)) {}

    /// Until it is known which version that is, results wait.
    void expect(int version);
    void tell(const photo_stack::size_result& result);

    void tell_size(const photo_stack::photo_size& size);
    void tell_fault(const std::string& fault);
    void tell_end();

    event_stream& events() { return events_; }

private:
    std::int64_t photo_;
    const photo_links& links_;
    event_stream events_;
    int version_ = 0;  // not known yet
    std::vector<photo_stack::size_result> waiting_;
    std::set<std::string> told_;
};

/// One thread, that of `loop`.
class live_results {
public:
    live_results(boost::asio::any_io_executor loop, const photo_links& links, live_settings settings);

    /// Is told what comes from now on, as long as it lives. Throws overloaded when too many watch.
    std::shared_ptr<photo_watch> watch(std::int64_t photo);

private:
    boost::asio::awaitable<void> listen(std::string broker);
    boost::asio::awaitable<void> listen_once(const std::string& broker);
    void tell(const photo_stack::size_result& result);
    void forget_the_gone();

    boost::asio::any_io_executor loop_;
    const photo_links& links_;
    live_settings settings_;
    std::multimap<std::int64_t, std::weak_ptr<photo_watch>> watches_;
};

}  // namespace photo_web
