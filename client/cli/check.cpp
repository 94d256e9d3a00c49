// millrace check: holds a store that no broker has open against itself. The only command that looks at files instead of asking a broker.
#include <memory>

#include "broker/check/check.hpp"
#include "client/cli/command.hpp"
#include "client/cli/json.hpp"

namespace millrace::cli {
namespace {

std::string json_of(const check::finding& f) {
    json_object o;
    if (!f.where.topic.empty()) o.add("topic", f.where.topic);
    if (f.where.partition) o.add("partition", *f.where.partition);
    if (!f.where.subscription.empty()) o.add("subscription", f.where.subscription);
    if (f.where.first) o.add("first", f.where.first->value);
    if (f.where.last) o.add("last", f.where.last->value);
    o.add("what", f.what).add("remedy", f.remedy).add("repaired", f.repaired);
    return o.text();
}

std::string json_of(const check::report& r) {
    return json_object().add("sound", r.sound()).add("findings", r.findings.size()).add("topics", r.topics).add("subscriptions", r.subscriptions)
        .add("entries", r.entries).add("messages", r.messages).add("bytes", r.bytes).text();
}

std::string text_of(const check::report& r) {
    return std::to_string(r.topics) + " topics, " + std::to_string(r.subscriptions) + " subscriptions, " + std::to_string(r.entries) + " entries with " +
           std::to_string(r.messages) + " messages, " + std::to_string(r.bytes) + " bytes: " + (r.sound() ? "sound" : "not sound");
}

void run(const check::check_request& request, bool json) {
    const auto found = check::check_directory(request);
    if (!found) throw failure_of(found.failure());
    const auto& r = found.value();
    std::uint64_t left = 0;
    for (const auto& f : r.findings) {
        write_line(json ? json_of(f) : to_string(f));
        left += f.repaired ? 0 : 1;
    }
    for (const auto& note : r.notes) write_line(json ? json_object().add("note", note).text() : "note: " + note);
    write_line(json ? json_of(r) : text_of(r));
    if (left == 0) return;
    throw failure_of(error{errc::inconsistent, std::to_string(left) + " findings in " + request.directory.string() +
                                                          (request.repair ? " that cannot be repaired: restore a backup" : ": put right what can be with --repair")});
}

}  // namespace

void add_check_command(CLI::App& app, command& chosen, const bool& json) {
    const auto o = std::make_shared<check::check_request>();
    const auto directory = std::make_shared<std::string>();
    auto& checking = *app.add_subcommand("check", "Hold a store that no broker has open against itself; exits 1 with findings");
    checking.add_option("DIR", *directory, "the directory that millraced --store rocksdb:DIR was given")->required();
    checking.add_flag("--repair", o->repair, "derive again what can be, drop what cannot be read, and say which");
    checking.add_flag("--salvage", o->salvage, "open a store whose log is damaged, without what cannot be read, and name that");
    checking.callback([&chosen, &json, o, directory] {
        o->directory = *directory;
        o->tell = [&json](const std::string& line) { write_line(json ? json_object().add("note", line).text() : line); };
        chosen.alone = [&json, o] { run(*o, json); };
    });
}

}  // namespace millrace::cli
