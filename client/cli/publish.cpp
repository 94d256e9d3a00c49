// millrace publish: one message per file, or per line. Holds a bounded number of bytes, however long the input is.
#include <algorithm>
#include <memory>
#include <optional>

#include <unistd.h>

#include <boost/asio/steady_timer.hpp>

#include "client/cli/command.hpp"
#include "client/cli/input.hpp"
#include "client/cli/json.hpp"
#include "client/cli/progress_line.hpp"

namespace millrace::cli {
namespace {

constexpr std::size_t under_way_messages_max = 65'536;
constexpr std::size_t under_way_bytes_max = 16u << 20;

struct publish_command {
    std::string topic;
    std::string key;
    std::vector<header> headers;
    bool lines = false;
    std::vector<std::string> files;
};

/// Somebody types the messages: they stand on the terminal already.
bool is_typed(const publish_command& o) {
    return ::isatty(STDIN_FILENO) == 1 && std::find(o.files.begin(), o.files.end(), "-") != o.files.end();
}

/// Messages sent and not answered.
class window {
public:
    window(session& s, publish_command o) : session_(s), options_(std::move(o)), freed_(s.broker.get_executor(), asio::steady_timer::time_point::max()) {
        if ((s.json && prints_to_terminal()) || is_typed(options_)) progress_.hide();
    }

    void send(std::string payload) {
        const auto size = payload.size();
        ++messages_;
        bytes_ += size;
        session_.broker.async_publish(options_.topic, {options_.key, options_.headers, std::move(payload)},
                                      [this, size](boost::system::error_code failed, client::receipt r) { on_answer(size, failed, r); });
    }

    /// Returns when there is room, or with `messages` 0 when everything is answered. Throws the first refusal, when everything is answered.
    asio::awaitable<void> wait(std::size_t messages, std::size_t bytes) {
        if (refused_) messages = bytes = 0;
        while (messages_ > messages || bytes_ > bytes) {
            freed_.expires_at(asio::steady_timer::time_point::max());
            co_await freed_.async_wait(as_result);
            flush_receipts();
            if (refused_) messages = bytes = 0;
        }
        flush_receipts();
        if (refused_) throw *refused_;
    }

private:
    void on_answer(std::size_t size, const boost::system::error_code& failed, const client::receipt& r) {
        --messages_;
        bytes_ -= size;
        if (failed && !refused_) refused_ = failure_of(failed, r.refusal);
        if (!failed) progress_.show(++answered_);
        if (!failed && session_.json)
            receipts_ += json_object().add("partition", r.partition).add("sequence", r.sequence.value).add("durability", name_of(r.level)).text() + "\n";
        freed_.cancel();
    }

    void flush_receipts() {
        if (!receipts_.empty()) write_out(std::exchange(receipts_, {}));
    }

    session& session_;
    publish_command options_;
    asio::steady_timer freed_;  // cancelled with each answer
    progress_line progress_{"published"};
    std::uint64_t answered_ = 0;
    std::size_t messages_ = 0;
    std::size_t bytes_ = 0;
    std::string receipts_;
    std::optional<failure> refused_;
};

[[noreturn]] void too_large(const std::string& file) {
    throw failure_of(error{errc::message_too_large, "a message of " + file + " is over " + std::to_string(limits::message_bytes) +
                                                        " bytes: send a reference to its content instead"});
}

asio::awaitable<void> send_lines(input& in, const std::string& file, window& sent) {
    std::string buffer;
    while (co_await in.read_some(buffer)) {
        std::size_t begin = 0;
        for (auto end = buffer.find('\n'); end != std::string::npos; end = buffer.find('\n', begin)) {
            co_await sent.wait(under_way_messages_max, under_way_bytes_max);
            sent.send(buffer.substr(begin, end - begin));
            begin = end + 1;
        }
        buffer.erase(0, begin);
        if (buffer.size() > limits::message_bytes) too_large(file);
    }
    if (!buffer.empty()) sent.send(std::move(buffer));
}

asio::awaitable<void> send_whole(input& in, const std::string& file, window& sent) {
    std::string content;
    while (co_await in.read_some(content))
        if (content.size() > limits::message_bytes) too_large(file);
    co_await sent.wait(under_way_messages_max, under_way_bytes_max);
    sent.send(std::move(content));
}

/// What was read before a failure is still answered before the program ends.
asio::awaitable<void> send_files(session& s, publish_command o, window& sent, bool& interrupted) {
    for (const auto& file : o.files) {
        input in(s.broker.get_executor(), file);
        s.on_interrupt = [&in, &interrupted] {
            interrupted = true;
            in.stop();
        };
        if (o.lines)
            co_await send_lines(in, file, sent);
        else
            co_await send_whole(in, file, sent);
        s.on_interrupt = nullptr;
        if (interrupted) break;
    }
}

asio::awaitable<void> run(session& s, publish_command o) {
    if (o.files.empty()) o.files.push_back("-");
    window sent(s, o);
    bool interrupted = false;
    std::optional<failure> failed;
    try {
        co_await send_files(s, o, sent, interrupted);
    } catch (failure& f) {
        failed = std::move(f);
    }
    s.on_interrupt = nullptr;
    co_await sent.wait(0, 0);
    if (failed) throw std::move(*failed);
}

header parse_header(const std::string& text) {
    const auto equals = text.find('=');
    if (equals == std::string::npos || equals == 0) throw CLI::ValidationError("--header", "'" + text + "' is not NAME=VALUE");
    return {text.substr(0, equals), text.substr(equals + 1)};
}

}  // namespace

void add_publish_command(CLI::App& app, command& chosen) {
    const auto o = std::make_shared<publish_command>();
    auto& publishing = *app.add_subcommand("publish", "Publish files, or the lines of files; ends when everything is answered");
    publishing.add_option("TOPIC", o->topic, "the topic")->required();
    publishing.add_option("--key", o->key, "chooses the partition, and keeps the order of equal keys");
    publishing.add_option_function<std::vector<std::string>>("--header", [o](const std::vector<std::string>& all) {
        for (const auto& text : all) o->headers.push_back(parse_header(text));
    }, "a header; may be given again")->type_name("NAME=VALUE")->allow_extra_args(false);
    publishing.add_flag("--lines", o->lines, "one message per line, without the newline");
    publishing.add_option("FILE", o->files, "one message each; - or none is stdin");
    publishing.callback([&chosen, o] { chosen = [o](session& s) { return run(s, *o); }; });
}

}  // namespace millrace::cli
