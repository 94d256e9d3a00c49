// What millraced is told by file, environment and flags: which of them wins, and what each refuses.
#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <regex>
#include <sstream>

#include "tests/process/broker_process.hpp"

namespace millrace::process {
namespace {

using Catch::Matchers::Contains;
using Catch::Matchers::StartsWith;

struct config_file {
    environment_variable admin{"MILLRACE_ADMIN", "none"};  // several brokers at once would meet at its port
    scratch_directory scratch;
    std::string path = (scratch.path() / "millraced.toml").string();

    void write(const std::string& text) const { std::ofstream(path, std::ios::trunc) << text; }

    /// millraced with this file, and these flags, ends by itself with 2 and one line.
    void refused(const std::string& text, const std::string& words, std::vector<std::string> flags = {}) const {
        write(text);
        flags.insert(flags.end(), {"--config", path});
        const auto ended = run_command(MILLRACED_PATH, flags);
        CAPTURE(text, ended.err);
        CHECK(ended.code == 2);
        CHECK(ended.out == "");
        CHECK_THAT(ended.err, StartsWith("millraced: invalid_argument: ") && Contains(words));
        CHECK(std::count(ended.err.begin(), ended.err.end(), '\n') == 1);
    }
};

std::string content_of(const std::string& path) {
    std::ostringstream out;
    out << std::ifstream(path).rdbuf();
    return out.str();
}

/// The options that --help shows.
std::vector<std::string> options_in_help() {
    const auto help = run_command(MILLRACED_PATH, {"--help"}).out;
    const std::regex option(R"(\n  (?:-\w,)?--([a-z-]+))");
    std::vector<std::string> all;
    for (std::sregex_iterator it(help.begin(), help.end(), option), end; it != end; ++it) all.push_back((*it)[1]);
    return all;
}

}  // namespace

TEST_CASE_METHOD(config_file, "a broker is told by a file") {
    write("# told\nstore = \"memory:\"\nlisten = '127.0.0.1:0'\ndurability = \"memory\"\nmax-connections = 1_000\ninsecure = false\n");
    child_process broker(MILLRACED_PATH, {"--config", path});
    CHECK_THAT(broker.read_line().value_or(broker.errors()), StartsWith("ready listen=127.0.0.1:"));
    const environment_variable config("MILLRACE_CONFIG", path);
    child_process another(MILLRACED_PATH, {});
    CHECK_THAT(another.read_line().value_or(another.errors()), StartsWith("ready listen=127.0.0.1:"));
}

TEST_CASE_METHOD(config_file, "a flag comes before the environment, the environment before the file, the file before the default") {
    // Each place asks for something impossible that names it, so that the refusal tells which one was heard.
    write("store = \"memory:\"\nlisten = \"file:0\"\n");
    CHECK_THAT(run_command(MILLRACED_PATH, {"--config", path}).err, Contains(path + ", line 2: listen is 'file:0'"));
    const environment_variable environment("MILLRACE_LISTEN", "environment:0");
    CHECK_THAT(run_command(MILLRACED_PATH, {"--config", path}).err, Contains("MILLRACE_LISTEN is 'environment:0'"));
    CHECK_THAT(run_command(MILLRACED_PATH, {"--config", path, "--listen", "flag:0"}).err, Contains("--listen is 'flag:0'"));
    child_process broker(MILLRACED_PATH, {"--config", path, "--listen", "127.0.0.1:0"});
    CHECK_THAT(broker.read_line().value_or(broker.errors()), StartsWith("ready listen=127.0.0.1:"));
}

TEST_CASE_METHOD(config_file, "a switch may be turned on in each place, and off again in the one before") {
    write("store = \"memory:\"\nlisten = \"0.0.0.0:0\"\ninsecure = true\n");
    child_process broker(MILLRACED_PATH, {"--config", path});
    CHECK_THAT(broker.read_line().value_or(broker.errors()), StartsWith("ready listen=0.0.0.0:"));
    const environment_variable environment("MILLRACE_INSECURE", "false");
    CHECK_THAT(run_command(MILLRACED_PATH, {"--config", path}).err, Contains("say --insecure"));
}

TEST_CASE_METHOD(config_file, "what stands in a file and cannot be is refused with its line and what may stand there") {
    refused("store = \"memory:\"\nlissten = \"127.0.0.1:0\"\n", path + ", line 2: there is no option 'lissten'; there are store, listen, ");
    refused("help = true\n", "there is no option 'help'");
    refused("version = true\n", "there is no option 'version'");
    refused("config = \"other.toml\"\n", "there is no option 'config'");
    refused("\n\nlisten = 7070\n", path + ", line 3: listen is '7070': write text in quotes");
    refused("max-connections = \"many\"\n", path + ", line 1: max-connections is 'many': write a whole number");
    refused("max-connections = true\n", "max-connections is 'true': write a whole number");
    refused("insecure = \"yes\"\n", "insecure is 'yes': write true or false");
    refused("max-connections = 0\n", path + ", line 1: max-connections is '0': give a whole number from 1 to 1000000");
    refused("max-connections = -1\n", "max-connections is '-1': give a whole number");
    refused("max-connections = 99999999999999999999\n", "give a whole number from 1 to 1000000");
    refused("store = \"nonsense\"\n", path + ", line 1: store is 'nonsense': give rocksdb:DIR or memory:");
    refused("durability = \"eternal\"\n", "line 1: durability is 'eternal': give disk");
    refused("log-level = \"shout\"\n", "line 1: log-level is 'shout'");
    refused("log-format = \"xml\"\n", "line 1: log-format is 'xml': give text or json");
    refused("listen = \"0.0.0.0:0\"\n", "listen 0.0.0.0:0 is reachable from other machines");
    refused("store = \"memory:\n", "line 1: store: the text does not end");
    refused("[server]\nstore = \"memory:\"\n", "there are no tables here");
    refused("store = \"memory:\"\nstore = \"memory:\"\n", "line 2: store stands in line 1 already");
    refused("lissten = \"x\"\n", "there is no option 'lissten'", {"--listen", "127.0.0.1:0"});
    refused("listen = 7070\n", "write text in quotes", {"--listen", "127.0.0.1:0"});  // also where a flag has said it
}

TEST_CASE("a file that is not there is refused, and so is nonsense in the environment") {
    const auto refused = [](const std::vector<std::string>& flags, const std::string& words) {
        const auto ended = run_command(MILLRACED_PATH, flags);
        CAPTURE(ended.err);
        CHECK(ended.code == 2);
        CHECK_THAT(ended.err, StartsWith("millraced: invalid_argument: ") && Contains(words));
    };
    refused({"--config", "/no/such/file"}, "--config /no/such/file cannot be read: No such file");
    {
        const environment_variable v("MILLRACE_CONFIG", "/no/such/file");
        refused({}, "MILLRACE_CONFIG /no/such/file cannot be read");
    }
    {
        const environment_variable v("MILLRACE_MAX_CONNECTIONS", "many");
        refused({}, "MILLRACE_MAX_CONNECTIONS is 'many': give a whole number from 1 to 1000000");
    }
    {
        const environment_variable v("MILLRACE_INSECURE", "perhaps");
        refused({}, "MILLRACE_INSECURE is 'perhaps': give true or false");
    }
    {
        const environment_variable v("MILLRACE_STORE", "nonsense");
        refused({}, "MILLRACE_STORE is 'nonsense'");
    }
    const environment_variable admin("MILLRACE_ADMIN", "none");
    const environment_variable empty("MILLRACE_LISTEN", "");  // as good as not set
    child_process broker(MILLRACED_PATH, {"--store", "memory:", "--max-connections", "1", "--config", "/dev/null", "--listen", "127.0.0.1:0"});
    CHECK_THAT(broker.read_line().value_or(broker.errors()), StartsWith("ready listen="));
}

TEST_CASE_METHOD(config_file, "the example names every option, with values that are taken") {
    const auto example = content_of(MILLRACE_SOURCE_DIR "/examples/millraced.toml");
    const auto options = options_in_help();
    REQUIRE(options.size() > 8);
    for (const auto& option : options) {
        CAPTURE(option);
        if (option == "help" || option == "version" || option == "config" || option == "explain-memory") continue;
        CHECK(std::regex_search(example, std::regex("\n#" + option + " = ")));
        CHECK_THAT(run_command(MILLRACED_PATH, {"--help"}).out, Contains("--" + option));
    }
    // As it stands, and with every line in effect; a flag says where, for the default port may be taken.
    for (const auto& text : {example, std::regex_replace(example, std::regex("(^|\n)#(?=[a-z-]+ = )"), "$1")}) {
        write(text);
        child_process broker(MILLRACED_PATH, {"--config", path, "--store", "memory:", "--listen", "127.0.0.1:0"});
        CHECK_THAT(broker.read_line().value_or(broker.errors()), StartsWith("ready listen=127.0.0.1:"));
    }
}

}  // namespace millrace::process
