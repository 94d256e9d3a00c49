#include "examples/photo_stack/web/live_results.hpp"

#include <spdlog/spdlog.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

#include "examples/photo_stack/web/work_pool.hpp"
#include "millrace/client.hpp"

namespace photo_web {

namespace asio = boost::asio;
namespace json = boost::json;
namespace client = millrace::client;

namespace {

/// Each holds a connection of the balancer's to this server, which has not many more.
constexpr std::size_t watches_max = 32;
constexpr auto pause_after_failure = std::chrono::seconds{1};

}  // namespace

void photo_watch::expect(int version) {
    version_ = version;
    for (const auto& result : std::exchange(waiting_, {})) tell(result);
}

void photo_watch::tell(const photo_stack::size_result& result) {
    if (version_ == 0) return waiting_.push_back(result);
    if (result.version < version_) return;
    if (result.version > version_) told_.clear();
    version_ = result.version;
    if (!result.fault.empty()) return tell_fault(result.fault);
    tell_size(result.size);
    if (told_.size() >= result.sizes) tell_end();
}

void photo_watch::tell_size(const photo_stack::photo_size& size) {
    if (!told_.insert(size.file).second) return;
    events_.send("size", json::serialize(json::value{{"file", size.file}, {"width", size.width}, {"height", size.height}, {"url", links_.of(photo_, size.file)}}));
}

void photo_watch::tell_fault(const std::string& fault) {
    events_.send("fault", json::serialize(json::value(fault)));
    events_.finish();
}

void photo_watch::tell_end() {
    events_.send("end", "{}");
    events_.finish();
}

live_results::live_results(asio::any_io_executor loop, const photo_links& links, live_settings settings)
    : loop_(std::move(loop)), links_(links), settings_(std::move(settings)) {
    for (const auto& broker : settings_.brokers) asio::co_spawn(loop_, listen(broker), asio::detached);
}

std::shared_ptr<photo_watch> live_results::watch(std::int64_t photo) {
    forget_the_gone();
    if (watches_.size() >= watches_max) throw overloaded("Too many watch photos being made ready. Reload the page to see more.");
    auto made = std::make_shared<photo_watch>(photo, links_, loop_);
    watches_.emplace(photo, made);
    return made;
}

void live_results::forget_the_gone() {
    std::erase_if(watches_, [](const auto& w) { return w.second.expired(); });
}

asio::awaitable<void> live_results::listen(std::string broker) {
    while (true) {
        try {
            co_await listen_once(broker);
        } catch (const std::exception& why) {
            spdlog::warn("no live results from {}: {}", broker, why.what());
        }
        asio::steady_timer pause(loop_, pause_after_failure);
        co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
    }
}

asio::awaitable<void> live_results::listen_once(const std::string& broker) {
    auto settings = settings_.connection;
    settings.server = broker;
    client::connection results_of(loop_, settings);
    co_await results_of.async_connect(asio::use_awaitable);
    client::subscribe_options options{.name = settings_.subscription};
    auto results = co_await results_of.async_subscribe(photo_stack::results_topic, settings_.subscription, options, asio::use_awaitable);
    while (true) {
        const auto arrived = co_await results.async_receive(asio::use_awaitable);
        for (const auto& d : arrived.deliveries) {
            try {
                tell(photo_stack::size_result::from_text(d.message.payload));
            } catch (const std::runtime_error& why) {
                spdlog::warn("{}", why.what());
            }
            results.ack(d);
        }
    }
}

void live_results::tell(const photo_stack::size_result& result) {
    const auto [first, last] = watches_.equal_range(result.photo);
    for (auto each = first; each != last; ++each)
        if (const auto watch = each->second.lock()) watch->tell(result);
}

}  // namespace photo_web
