// Completion for shells: `millrace completion SHELL` prints a script, and the script asks `millrace complete -- WORDS…` what may stand for the last
// word. So what is completed is what the program parses, and names of topics and subscriptions come from the broker.
#include <algorithm>
#include <memory>
#include <optional>

#include "client/cli/command.hpp"

namespace millrace::cli {
namespace {

constexpr auto patience = std::chrono::milliseconds(1'000);  // somebody waits with a finger on the tab key

constexpr const char* bash_script = R"(# bash completion for millrace; in a shell: source <(millrace completion bash)
_millrace() {
    local words=() word before="" i
    for ((i = 1; i <= COMP_CWORD; i++)); do  # bash takes HOST:PORT and --flag=VALUE apart
        word=${COMP_WORDS[i]}
        if [[ ${#words[@]} -gt 0 && ($word == [:=] || $before == [:=]) ]]; then words[-1]+=$word; else words+=("$word"); fi
        before=$word
    done
    mapfile -t COMPREPLY < <("${COMP_WORDS[0]}" complete -- "${words[@]}" 2>/dev/null)
    if [[ ${COMPREPLY[0]-} == :files ]]; then
        compopt -o filenames 2>/dev/null
        mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
    fi
}
complete -F _millrace millrace
)";

constexpr const char* zsh_script = R"(#compdef millrace
# zsh completion for millrace; in a shell: source <(millrace completion zsh)
_millrace() {
    local -a found
    found=("${(@f)$("${words[1]}" complete -- "${(@)words[2,CURRENT]}" 2>/dev/null)}")
    if [[ ${found[1]} == :files ]]; then _files; else compadd -a found; fi
}
if [[ ${funcstack[1]} == _millrace ]]; then _millrace "$@"; else compdef _millrace millrace; fi
)";

constexpr const char* fish_script = R"(# fish completion for millrace; in a shell: millrace completion fish | source
function __millrace_complete
    set -l words (commandline -opc)
    set -l found ($words[1] complete -- $words[2..-1] (commandline -ct) 2>/dev/null)
    if test "$found[1]" = :files
        __fish_complete_path (commandline -ct)
    else
        string join \n -- $found
    end
end
complete -c millrace -f -a '(__millrace_complete)'
)";

struct shell {
    const char* name;
    const char* script;
};
constexpr shell shells[] = {{"bash", bash_script}, {"zsh", zsh_script}, {"fish", fish_script}};

/// What may stand somewhere: words, or names that the broker knows, or files.
struct expected {
    enum class kind : std::uint8_t { words, topics, subscriptions, files };

    kind what = kind::words;
    std::vector<std::string> words;
    std::string topic;      // with subscriptions
    std::string start;      // of the word to be completed
    std::string server;     // given among the words
    std::string token;
    std::string token_file;
};

bool is_hidden(const CLI::App& app) { return app.get_group().empty(); }

std::vector<const CLI::App*> subcommands_of(const CLI::App& app) {
    return app.get_subcommands([](const CLI::App* sub) { return !is_hidden(*sub); });
}

const CLI::App* find_subcommand(const CLI::App& app, const std::string& name) {
    for (const auto* sub : subcommands_of(app))
        if (sub->get_name() == name) return sub;
    return nullptr;
}

/// The option of that name, of the command or of what it belongs to.
const CLI::Option* find_option(const CLI::App* app, const std::string& name) {
    for (; app; app = app->get_parent())
        if (const auto* found = app->get_option_no_throw(name)) return found;
    return nullptr;
}

bool takes_value(const CLI::Option& option) { return option.get_items_expected_max() > 0; }

std::vector<const CLI::Option*> positionals_of(const CLI::App& app) {
    return app.get_options([](const CLI::Option* option) { return option->get_positional(); });
}

/// A name that is made by the command is not there yet.
expected::kind kind_of(const CLI::App& app, const std::string& value) {
    const auto group = app.get_parent() ? app.get_parent()->get_name() : std::string();
    const bool makes = app.get_name() == "create";
    if (value == "TOPIC" || (value == "NAME" && group == "topic" && !makes)) return expected::kind::topics;
    if (value == "SUBSCRIPTION" || (value == "NAME" && group == "subscription" && !makes)) return expected::kind::subscriptions;
    return value == "FILE" || value == "DIR" ? expected::kind::files : expected::kind::words;
}

void expect_option_value(const CLI::App& app, const CLI::Option& option, expected& out) {
    out.what = kind_of(app, option.get_type_name());
}

void expect_options(const CLI::App* app, expected& out) {
    for (; app; app = app->get_parent())
        for (const auto* option : app->get_options({}))
            for (const auto& name : option->get_lnames()) out.words.push_back("--" + name);
}

void expect_word(const CLI::App& app, const std::vector<std::string>& before, expected& out) {
    for (const auto* sub : subcommands_of(app)) out.words.push_back(sub->get_name());
    const auto positionals = positionals_of(app);
    if (positionals.empty()) return;
    const auto& next = *positionals[std::min(before.size(), positionals.size() - 1)];
    if (before.size() >= positionals.size() && next.get_items_expected_max() == 1) return;
    if (next.get_name(true) == "SHELL")
        for (const auto& known : shells) out.words.push_back(known.name);
    out.what = kind_of(app, next.get_name(true));
    if (!before.empty()) out.topic = before.front();
}

/// What may stand for the last of `words`.
expected expect(const CLI::App& root, std::vector<std::string> words) {
    expected out;
    if (words.empty()) words.emplace_back();
    out.start = std::move(words.back());
    words.pop_back();
    const auto* app = &root;
    const CLI::Option* open = nullptr;  // waits for its value
    std::vector<std::string> positionals;
    const auto note_value = [&](const CLI::Option& option, const std::string& value) {
        if (option.check_lname("server")) out.server = value;
        if (option.check_lname("token")) out.token = value;
        if (option.check_lname("token-file")) out.token_file = value;
    };
    for (const auto& word : words) {
        if (open) {
            note_value(*std::exchange(open, nullptr), word);
        } else if (word.size() > 1 && word.front() == '-') {
            const auto equals = word.find('=');
            const auto* option = find_option(app, word.substr(0, equals));
            if (option && equals != std::string::npos) note_value(*option, word.substr(equals + 1));
            if (option && equals == std::string::npos && takes_value(*option)) open = option;
        } else if (const auto* sub = positionals.empty() ? find_subcommand(*app, word) : nullptr) {
            app = sub;
        } else {
            positionals.push_back(word);
        }
    }
    const auto equals = out.start.find('=');
    if (open) {
        expect_option_value(*app, *open, out);
    } else if (out.start.starts_with('-') && equals != std::string::npos) {
        const auto* option = find_option(app, out.start.substr(0, equals));
        out.start.erase(0, equals + 1);
        if (option) expect_option_value(*app, *option, out);
    } else if (out.start.starts_with('-')) {
        expect_options(app, out);
    } else {
        expect_word(*app, positionals, out);
    }
    return out;
}

void print_starting_with(const std::string& start, const std::vector<std::string>& words) {
    for (const auto& word : words)
        if (word.starts_with(start)) write_line(word);
}

/// What cannot be known is not completed.
asio::awaitable<void> print_topics(session& s, expected what) {
    client::name_list known;
    do {
        std::string after = known.names.empty() ? "" : known.names.back();
        auto [failed, page] = co_await s.broker.async_list_topics(std::move(after), as_result);
        if (failed) co_return;
        known = std::move(page);
        print_starting_with(what.start, known.names);
    } while (known.more);
}

asio::awaitable<void> print_subscriptions(session& s, expected what) {
    const auto [failed, known] = co_await s.broker.async_list_subscriptions(what.topic, as_result);
    if (!failed) print_starting_with(what.start, known.names);
}

void complete(const CLI::App& root, const std::vector<std::string>& words, command& chosen) {
    const auto what = expect(root, words);
    const auto by_topic = what.what == expected::kind::subscriptions;
    if (by_topic || what.what == expected::kind::topics) {
        chosen = [what, by_topic](session& s) { return by_topic ? print_subscriptions(s, what) : print_topics(s, what); };
        chosen.server = what.server;
        chosen.token = what.token;
        chosen.token_file = what.token_file;
        chosen.patience = patience;
        return;
    }
    chosen.alone = [what] {
        if (what.what == expected::kind::files) return write_line(":files");
        print_starting_with(what.start, what.words);
    };
}

void print_script(const std::string& name) {
    for (const auto& known : shells)
        if (name == known.name) write_out(known.script);
}

}  // namespace

void add_completion_commands(CLI::App& app, command& chosen) {
    const auto name = std::make_shared<std::string>();
    auto& scripts = *app.add_subcommand("completion", "Print what completes this program in a shell: source <(millrace completion bash)");
    scripts.add_option("SHELL", *name, "bash, zsh or fish")->required()->check(CLI::IsMember({"bash", "zsh", "fish"}));
    scripts.callback([&chosen, name] { chosen.alone = [name] { print_script(*name); }; });

    const auto words = std::make_shared<std::vector<std::string>>();
    auto& completing = *app.add_subcommand("complete", "Print what may stand for the last word")->group("");
    completing.add_option("WORDS", *words, "what was typed after the program's name");
    completing.callback([&app, &chosen, words] { complete(app, *words, chosen); });
}

}  // namespace millrace::cli
