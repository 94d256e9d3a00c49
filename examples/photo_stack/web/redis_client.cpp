#include "examples/photo_stack/web/redis_client.hpp"

#include <hiredis/hiredis.h>
#include <sys/time.h>

#include <map>
#include <utility>

namespace photo_web {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

namespace {

timeval time_until(clock::time_point until) {
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(until - clock::now()).count();
    if (left <= 0) throw redis_unavailable("Redis did not answer in time");
    return {left / 1'000'000, left % 1'000'000};
}

redis_reply reply_from(const ::redisReply& r) {
    switch (r.type) {
        case REDIS_REPLY_ERROR: throw redis_unavailable("Redis refuses: " + std::string(r.str, r.len));
        case REDIS_REPLY_NIL: return {.is_nothing = true};
        case REDIS_REPLY_INTEGER: return {.number = r.integer};
        case REDIS_REPLY_ARRAY: {
            redis_reply out;
            for (std::size_t i = 0; i < r.elements; ++i) out.list.push_back(reply_from(*r.element[i]));
            return out;
        }
        default: return {.text = std::string(r.str, r.len)};
    }
}

}  // namespace

/// One thread at a time.
class redis_client::connection {
public:
    connection(const redis_address& where, time_point until) : context_(::redisConnectWithTimeout(where.host.c_str(), where.port, time_until(until))) {
        if (!context_ || context_->err != 0) throw redis_unavailable("cannot connect to Redis at " + where.host + ": " + fault());
    }

    std::vector<redis_reply> run(const std::vector<redis_command>& commands, time_point until) {
        for (const auto& c : commands) append(c);
        std::vector<redis_reply> replies;
        for (std::size_t i = 0; i < commands.size(); ++i) replies.push_back(next(until));
        return replies;
    }

private:
    void append(const redis_command& command) {
        std::vector<const char*> words;
        std::vector<std::size_t> sizes;
        for (const auto& word : command) {
            words.push_back(word.data());
            sizes.push_back(word.size());
        }
        if (::redisAppendCommandArgv(context_.get(), static_cast<int>(words.size()), words.data(), sizes.data()) != REDIS_OK) throw redis_unavailable(fault());
    }

    redis_reply next(time_point until) {
        void* reply = nullptr;
        ::redisSetTimeout(context_.get(), time_until(until));
        if (::redisGetReply(context_.get(), &reply) != REDIS_OK) throw redis_unavailable("Redis is lost: " + fault());
        const std::unique_ptr<void, void (*)(void*)> owned(reply, ::freeReplyObject);
        return reply_from(*static_cast<::redisReply*>(reply));
    }

    std::string fault() const { return context_ ? context_->errstr : "out of memory"; }

    struct freeing {
        void operator()(::redisContext* c) const { ::redisFree(c); }
    };
    std::unique_ptr<::redisContext, freeing> context_;
};

redis_client::redis_client(redis_settings settings) : settings_(std::move(settings)), threads_(settings_.name, settings_.connections, settings_.jobs_max) {}

redis_client::~redis_client() = default;

asio::awaitable<std::vector<redis_reply>> redis_client::run(std::vector<redis_command> commands) {
    auto job = [this, commands = std::move(commands), until = clock::now() + settings_.deadline] { return perform(commands, until); };
    co_return co_await threads_.run(std::move(job));
}

/// A connection may have been lost while nobody used it, or lead to who is no longer master: that is found out by the first job, which goes on with a new one.
std::vector<redis_reply> redis_client::perform(const std::vector<redis_command>& commands, time_point until) {
    if (auto used = idle_one()) {
        try {
            auto replies = used->run(commands, until);
            give_back(std::move(used));
            return replies;
        } catch (const redis_unavailable&) {
            if (clock::now() >= until) throw;
        }
    }
    auto made = connect(until);
    auto replies = made->run(commands, until);
    give_back(std::move(made));
    return replies;
}

std::unique_ptr<redis_client::connection> redis_client::connect(time_point until) const {
    const bool by_sentinels = !settings_.master.empty();
    auto made = std::make_unique<connection>(by_sentinels ? address_of_master(until) : settings_.servers.at(0), until);
    if (!settings_.password.empty()) made->run({{"AUTH", settings_.password}}, until);
    if (by_sentinels && made->run({{"ROLE"}}, until)[0].list.at(0).text != "master") throw redis_unavailable("Redis has no master at the moment");
    return made;
}

/// As most of them say: one that has been away, together with who was master then, names that one still. Each may take its part of the time that is left.
redis_address redis_client::address_of_master(time_point until) const {
    std::map<std::pair<std::string, int>, std::size_t> named;
    for (std::size_t i = 0; i < settings_.servers.size(); ++i) {
        const auto now = clock::now();
        const auto share = now + (until - now) / (settings_.servers.size() - i + 1);
        try {
            connection sentinel(settings_.servers[i], share);
            const auto told = sentinel.run({{"SENTINEL", "get-master-addr-by-name", settings_.master}}, share)[0];
            if (told.is_nothing) continue;
            const std::pair who(told.list.at(0).text, std::stoi(told.list.at(1).text));
            if (++named[who] > settings_.servers.size() / 2) return {who.first, who.second};
        } catch (const redis_unavailable&) {
            continue;  // the others may know
        }
    }
    throw redis_unavailable("too few sentinels say the same of who is master");
}

std::unique_ptr<redis_client::connection> redis_client::idle_one() {
    const std::lock_guard lock(mutex_);
    if (idle_.empty()) return nullptr;
    auto c = std::move(idle_.back());
    idle_.pop_back();
    return c;
}

void redis_client::give_back(std::unique_ptr<connection> c) {
    const std::lock_guard lock(mutex_);
    idle_.push_back(std::move(c));
}

}  // namespace photo_web
