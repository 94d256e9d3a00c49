#include "examples/photo_stack/web/transaction_pool.hpp"

#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <pqxx/connection>
#include <pqxx/except>
#include <thread>
#include <utility>
#include <vector>

#include "examples/photo_stack/shards/database_connection.hpp"
#include "examples/photo_stack/web/current_span.hpp"

namespace photo_web {

namespace asio = boost::asio;
using clock = std::chrono::steady_clock;

namespace {

/// One call of run(), shared by the coroutine that waits and the thread that works.
struct ticket {
    ticket(const asio::any_io_executor& loop, clock::time_point until, std::function<void(transaction&)> what)
        : job(std::move(what)), deadline(until), answered(loop, until) {}

    const std::function<void(transaction&)> job;
    const clock::time_point deadline;

    // of the loop's thread
    asio::steady_timer answered;
    bool finished = false;
    std::exception_ptr thrown;
};

using ticket_pointer = std::shared_ptr<ticket>;

/// It lacks resources (class 53), an operator or a timeout intervened (57), what is read at a replica was removed by its primary (40001), or it is a
/// primary no more (25006): not what was asked for is wrong.
bool is_the_servers_trouble(const std::string& sqlstate) {
    return sqlstate.starts_with("53") || sqlstate.starts_with("57") || sqlstate == "40001" || sqlstate == "25006";
}

}  // namespace

class transaction_pool::lines {
public:
    lines(asio::any_io_executor loop, const pool_settings& settings) : loop_(std::move(loop)), settings_(settings) {
        for (std::size_t i = 0; i < settings_.connections; ++i) lines_.push_back(std::make_unique<line>());
        for (auto& each : lines_) each->thread = std::thread([this, &its = *each] { work(its); });
    }

    ~lines() {
        {
            const std::lock_guard lock(mutex_);
            ending_ = true;
            for (auto& each : lines_) cut(*each);
        }
        wake_.notify_all();
        for (auto& each : lines_) each->thread.join();
    }

    bool submit(ticket_pointer t) {
        const std::lock_guard lock(mutex_);
        if (waiting_.size() >= settings_.waiting_max) return false;
        waiting_.push_back(std::move(t));
        wake_.notify_one();
        return true;
    }

    /// Its coroutine has gone on: whoever works on it is cut, and if nobody does yet, nobody will.
    void give_up(const ticket_pointer& t) {
        const std::lock_guard lock(mutex_);
        std::erase(waiting_, t);
        for (auto& each : lines_)
            if (each->current == t) cut(*each);
    }

private:
    /// A thread, and its connection while it has one.
    struct line {
        std::unique_ptr<pqxx::connection> connection;
        std::thread thread;

        // under the mutex
        ticket_pointer current;
        int socket = -1;  // a duplicate: libpq closes its own when it likes, and its number may be somebody else's by then
    };

    static void cut(const line& l) {
        if (l.socket >= 0) ::shutdown(l.socket, SHUT_RDWR);
    }

    void work(line& l) {
        while (auto t = next(l)) {
            std::exception_ptr thrown;
            try {
                perform(l, *t);
            } catch (...) {
                thrown = std::current_exception();
            }
            {
                const std::lock_guard lock(mutex_);
                l.current.reset();
            }
            asio::post(loop_, [t, thrown] {
                t->finished = true;
                t->thrown = thrown;
                t->answered.cancel();
            });
        }
        disconnect(l);
    }

    ticket_pointer next(line& l) {
        std::unique_lock lock(mutex_);
        wake_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
        if (ending_) return nullptr;
        l.current = std::move(waiting_.front());
        waiting_.pop_front();
        return l.current;
    }

    /// A connection may have been lost while nobody used it, when the database was restarted: that is found out by the first job, which is then
    /// repeated on a new one.
    void perform(line& l, const ticket& t) {
        const bool used_before = l.connection != nullptr;
        try {
            attempt(l, t);
        } catch (const database_unavailable& why) {
            if (why.in_doubt || !used_before || clock::now() >= t.deadline) throw;
            attempt(l, t);
        }
    }

    void attempt(line& l, const ticket& t) {
        try {
            if (!l.connection) connect(l);
            transaction tx(*l.connection);
            t.job(tx);
            tx.commit();
        } catch (const pqxx::in_doubt_error& why) {
            disconnect(l);
            throw database_unavailable(why.what(), true);
        } catch (const pqxx::broken_connection& why) {
            disconnect(l);
            throw database_unavailable(why.what(), false);
        } catch (const pqxx::sql_error& why) {
            if (!l.connection->is_open()) disconnect(l);
            if (is_the_servers_trouble(why.sqlstate())) throw database_unavailable(why.what(), false);
            throw;
        }
    }

    void connect(line& l) {
        l.connection = photo_stack::connect(settings_.address);
        const std::lock_guard lock(mutex_);
        l.socket = ::dup(l.connection->sock());
        if (ending_) cut(l);
    }

    void disconnect(line& l) {
        {
            const std::lock_guard lock(mutex_);
            if (l.socket >= 0) ::close(std::exchange(l.socket, -1));
        }
        l.connection.reset();
    }

    asio::any_io_executor loop_;
    const pool_settings& settings_;
    std::vector<std::unique_ptr<line>> lines_;

    std::mutex mutex_;
    std::condition_variable wake_;
    std::deque<ticket_pointer> waiting_;
    bool ending_ = false;
};

transaction_pool::transaction_pool(asio::any_io_executor loop, pool_settings settings)
    : loop_(std::move(loop)), settings_(std::move(settings)), lines_(std::make_unique<lines>(loop_, settings_)) {}

transaction_pool::~transaction_pool() = default;

asio::awaitable<void> transaction_pool::perform(std::function<void(transaction&)> job) {
    const timed_part timed(co_await current_span(), settings_.name);
    const auto t = std::make_shared<ticket>(loop_, clock::now() + settings_.deadline, std::move(job));
    if (!lines_->submit(t)) throw database_unavailable("too many requests wait for the database", false);
    co_await t->answered.async_wait(asio::as_tuple(asio::use_awaitable));
    if (!t->finished) {
        lines_->give_up(t);
        throw database_unavailable("the database did not answer within " + std::to_string(settings_.deadline.count()) + " ms", true);
    }
    if (t->thrown) std::rethrow_exception(t->thrown);
}

}  // namespace photo_web
