// Real stores of real brokers, damaged behind their backs: what is lost is named, and everything else serves.
#include <catch2/catch.hpp>
#include <fstream>
#include <future>

#include <unistd.h>

#include "broker/core/row.hpp"
#include "broker/storage/rocksdb_store.hpp"
#include "millrace/error.hpp"
#include "tests/process/broker_process.hpp"

namespace millrace::process {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;
namespace fs = std::filesystem;

struct damaged_store {
    scratch_directory scratch;
    fs::path directory = scratch.path() / "store";

    broker_process start(std::vector<std::string> more = {}) const {
        more.insert(more.begin(), {"--store", scratch.store()});
        return broker_process(more);
    }

    static std::string done(const broker_process& broker, const std::vector<std::string>& arguments, const std::string& input = {}) {
        const auto ended = millrace(broker, arguments, input);
        CAPTURE(arguments, ended.err);
        REQUIRE(ended.code == 0);
        return ended.out;
    }

    /// One topic with `count` messages "message0001 …" of half a KiB, each an entry of its own, and one with a single message.
    void fill(broker_process& broker, int count) const {
        for (const auto* topic : {"photos", "films"}) {
            done(broker, {"topic", "create", topic});
            done(broker, {"subscription", "create", topic, "thumbs"});
        }
        for (int i = 0; i < count; ++i) done(broker, {"publish", "photos"}, words(i));
        done(broker, {"publish", "films"}, "a film");
    }

    /// A store of a broker that was killed: all of it is in its log.
    void fill_and_kill(int count) const {
        auto broker = start();
        fill(broker, count);
        broker.kill();
    }

    static std::string words(int i) { return "message" + std::to_string(1000 + i) + std::string(500, 'x'); }

    /// A broker that recovers from its log writes what it found there into files.
    void move_log_into_files() const {
        auto broker = start();
        REQUIRE(broker.stop() == 0);
    }

    /// Turns over a bit of the first `text` in a file of that kind; the file's name.
    std::string damage(const std::string& extension, const std::string& text) const {
        for (const auto& file : fs::directory_iterator(directory)) {
            if (file.path().extension() != extension) continue;
            std::fstream bytes(file.path(), std::ios::in | std::ios::out | std::ios::binary);
            const std::string content{std::istreambuf_iterator<char>(bytes), {}};
            const auto at = content.find(text);
            if (at == std::string::npos) continue;
            bytes.clear();
            bytes.seekp(static_cast<std::streamoff>(at));
            bytes.put(static_cast<char>(content[at] ^ 1));
            REQUIRE(bytes.good());
            return file.path().filename().string();
        }
        FAIL("no " << extension << " file holds " << text);
        return {};
    }

    command_result start_refused(std::vector<std::string> more = {}) const {
        more.insert(more.begin(), {"--listen", "127.0.0.1:0", "--store", scratch.store()});
        return run_command(MILLRACED_PATH, more);
    }

    command_result check(std::vector<std::string> more = {}) const {
        more.insert(more.begin(), {"check", directory.string()});
        return run_command(MILLRACE_PATH, more);
    }
};

std::size_t lines_of(const std::string& text) { return static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')); }

}  // namespace

TEST_CASE_METHOD(damaged_store, "a flipped bit in a blob file costs the messages of its entry, which are named, and nothing else") {
    fill_and_kill(9);
    move_log_into_files();
    damage(".blob", "message1004");

    const auto checked = check();
    CHECK(checked.code == 1);
    CHECK_THAT(checked.err, StartsWith("millrace: inconsistent: 1 findings in "));
    CHECK_THAT(checked.out, Contains("topic 'photos', partition 0, message 4: an entry is damaged: Corruption: Blob CRC mismatch"));

    auto broker = start();
    const auto got = done(broker, {"consume", "photos", "thumbs", "--max", "8", "--timeout", "20s"});
    CHECK(lines_of(got) == 8);
    CHECK_THAT(got, Contains("message1003") && !Contains("message1004") && Contains("message1005") && Contains("message1008"));
    CHECK_THAT(broker.process().errors(), Contains("corruption: partition 0 of topic 'photos': messages 4 to 4 are damaged in the store and lost") && Contains("Blob CRC mismatch"));
    CHECK_THAT(done(broker, {"subscription", "describe", "photos", "thumbs"}), Contains("ready 0 leased 0 acked 8 delayed 0 dead 0 parked 0 expired 0 skipped 1"));
    CHECK(done(broker, {"consume", "films", "thumbs", "--max", "1", "--timeout", "20s"}) == "a film\n");
    done(broker, {"publish", "photos"}, "one more");
    CHECK(done(broker, {"consume", "photos", "thumbs", "--max", "1", "--timeout", "20s"}) == "one more\n");
    CHECK(broker.stop() == 0);

    const auto repaired = check({"--repair"});
    INFO(repaired.out << repaired.err);
    CHECK(repaired.code == 0);
    CHECK(check().code == 0);
}

TEST_CASE_METHOD(damaged_store, "damage is found before a consumer meets it: what lies in the store is read again in the background") {
    fill_and_kill(9);
    move_log_into_files();
    damage(".blob", "message1004");
    auto broker = start({"--scrub-rate", "64KiB"});
    const auto late = std::chrono::steady_clock::now() + std::chrono::seconds{60};
    while (broker.process().errors().find("messages 4 to 4 are damaged in the store and lost") == std::string::npos)
        REQUIRE(std::chrono::steady_clock::now() < late);
    const auto got = done(broker, {"consume", "photos", "thumbs", "--max", "8", "--timeout", "20s"});
    CHECK_THAT(got, Contains("message1003") && !Contains("message1004") && Contains("message1005"));
}

TEST_CASE_METHOD(damaged_store, "a flipped bit in a table of rows costs nothing: it is made anew from its copy") {
    fill_and_kill(1);
    move_log_into_files();
    const auto file = damage(".sst", "thumbs");
    auto broker = start();
    CHECK_THAT(broker.process().errors(), Contains("mended: " + file + " was damaged and was made anew from its copy; nothing of it is lost"));
    CHECK(fs::exists(directory / (file + ".damaged")));
    CHECK(done(broker, {"consume", "films", "thumbs", "--max", "1", "--timeout", "20s"}) == "a film\n");
    CHECK(broker.stop() == 0);
    CHECK(check().code == 0);
}

TEST_CASE_METHOD(damaged_store, "a table of rows whose copy is damaged as well is refused by the file's name") {
    fill_and_kill(1);
    move_log_into_files();
    const auto file = damage(".sst", "thumbs");
    CHECK(damage(".copy", "thumbs") == file + ".copy");
    const auto refused = start_refused();
    CHECK(refused.code == 1);
    CHECK_THAT(refused.err, Contains("millraced: corruption: ") && Contains(file));
    const auto checked = check({"--repair"});
    CHECK(checked.code == 1);
    CHECK_THAT(checked.err, Contains("millrace: corruption: ") && Contains(file) && Contains("restore a backup"));
}

TEST_CASE_METHOD(damaged_store, "a flipped bit in the log is refused by file and offset, and salvaged without what it hit") {
    fill_and_kill(9);
    const auto file = damage(".log", "message1004");
    const auto refused = start_refused();
    CHECK(refused.code == 1);
    CHECK_THAT(refused.err, Contains("millraced: corruption: ") && Contains("offset") && Contains(file) && Contains("--salvage"));
    const auto checked = check();
    CHECK(checked.code == 1);
    CHECK_THAT(checked.err, Contains("millrace: corruption: ") && Contains("offset") && Contains(file) && Contains("--salvage"));

    const auto salvaged = check({"--salvage"});
    INFO(salvaged.out << salvaged.err);
    CHECK_THAT(salvaged.out, Contains("lost: ") && Contains(file) && Contains("1 unsettled messages are not in the store any more"));
    CHECK(salvaged.code == 1);  // the log's row still counts the bytes that are gone
    CHECK(check({"--repair"}).code == 0);
    auto broker = start();
    const auto got = done(broker, {"consume", "photos", "thumbs", "--max", "8", "--timeout", "20s"});
    CHECK_THAT(got, Contains("message1003") && !Contains("message1004") && Contains("message1008"));
}

TEST_CASE_METHOD(damaged_store, "a store that contradicts itself: the subscription is set aside, the rest serves, and check counts again") {
    {
        auto broker = start();
        fill(broker, 3);
        done(broker, {"subscription", "create", "photos", "other"});
        CHECK(lines_of(done(broker, {"consume", "photos", "thumbs", "--max", "2", "--timeout", "20s"})) == 2);
        CHECK_THAT(check().err, StartsWith("millrace: store_in_use: "));
        CHECK(check().code == 1);
        CHECK(broker.stop() == 0);
    }
    {
        storage::rocksdb_options options;
        options.directory = directory;
        const auto opened = storage::open_rocksdb_store(options);
        REQUIRE(opened);
        const auto& store = opened.value();
        const auto epoch = store->open(core::shard_id{0}).value();
        core::progress_row p{core::subscription_id{1}, 0, {0}, {2}, {}};
        const auto row = encode(p);
        std::promise<error> done;
        store->commit(core::shard_id{0}, epoch, {core::put_row{row.key, row.value}}, [&](error failed) { done.set_value(failed); });
        REQUIRE_FALSE(done.get_future().get());
    }
    const std::string numbers = "it counts 0 settled messages, and its cursor has passed 2";
    {
        auto broker = start();
        CHECK_THAT(broker.process().errors(), Contains("inconsistent: subscription 'thumbs' in partition 0 of topic 'photos': " + numbers));
        const auto refused = millrace(broker, {"consume", "photos", "thumbs", "--max", "1", "--timeout", "5s"});
        CHECK(refused.code == 1);
        CHECK_THAT(refused.err, Contains("inconsistent: ") && Contains(numbers) && Contains("millrace check DIR --repair"));
        CHECK_THAT(millrace(broker, {"subscription", "update", "photos", "thumbs", "--max-deliveries", "3"}).err, Contains("inconsistent: "));
        CHECK_THAT(done(broker, {"subscription", "describe", "photos", "thumbs"}), Contains("inconsistent") && Contains(numbers));
        CHECK_THAT(done(broker, {"--json", "subscription", "describe", "photos", "thumbs"}), Contains("\"inconsistent\":\"subscription 'thumbs'"));
        CHECK(lines_of(done(broker, {"consume", "photos", "other", "--max", "3", "--timeout", "20s"})) == 3);
        done(broker, {"publish", "photos"}, "one more");
        CHECK(broker.stop() == 0);
    }
    const auto found = check({"--json"});
    CHECK(found.code == 1);
    CHECK_THAT(found.out, Contains("\"topic\":\"photos\",\"partition\":0,\"subscription\":\"thumbs\"") && Contains("\"sound\":false"));
    const auto repaired = check({"--repair"});
    INFO(repaired.out << repaired.err);
    CHECK(repaired.code == 0);
    CHECK_THAT(repaired.out, Contains("(repaired: it counts"));
    auto broker = start();
    CHECK(lines_of(done(broker, {"consume", "photos", "thumbs", "--max", "2", "--timeout", "20s"})) == 2);
}

TEST_CASE_METHOD(damaged_store, "check says what it cannot look at") {
    const auto absent = check();
    CHECK(absent.code == 1);
    CHECK_THAT(absent.err, StartsWith("millrace: storage_failure: there is no Millrace store in " + directory.string()));
    CHECK_FALSE(fs::exists(directory));
    CHECK(run_command(MILLRACE_PATH, {"check"}).code == 2);
    CHECK(run_command(MILLRACE_PATH, {"check", directory.string(), "--mend"}).code == 2);
}

TEST_CASE_METHOD(damaged_store, "a directory that cannot be written is refused by name") {
    { auto broker = start(); }
    fs::permissions(scratch.path(), fs::perms::owner_all | fs::perms::group_exec | fs::perms::others_exec);
    std::vector<std::string> command{MILLRACED_PATH, "--listen", "127.0.0.1:0", "--store", scratch.store()};
    if (::getuid() == 0) command.insert(command.begin(), {"/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"});
    else fs::permissions(directory, fs::perms::owner_read | fs::perms::owner_exec);
    const auto program = command.front();
    command.erase(command.begin());
    const auto refused = run_command(program, command);
    if (::getuid() != 0) fs::permissions(directory, fs::perms::owner_all);
    CHECK(refused.code == 1);
    CHECK_THAT(refused.err, Contains("millraced: storage_failure: the store's directory " + directory.string() + " cannot be written"));
}

TEST_CASE("millraced explains its memory from its settings") {
    const auto explained = run_command(MILLRACED_PATH, {"--explain-memory", "--max-connections", "1024"});
    CHECK(explained.code == 0);
    CHECK_THAT(explained.out, Contains("memtables of entries     192 MiB  6 of 32 MiB") && Contains("tail cache                96 MiB") &&
                                  Contains("log                       48 MiB") && Contains("sessions                   9 MiB") && Contains("log, on disk             128 MiB"));
}

}  // namespace millrace::process
