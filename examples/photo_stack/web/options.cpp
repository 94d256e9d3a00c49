#include "examples/photo_stack/web/options.hpp"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>

#include "millrace/units.hpp"

namespace photo_web {
namespace {

/// Whoever is not answered by then asks the database, and has the time for it.
constexpr auto near_deadline = std::chrono::milliseconds{150};

boost::asio::ip::tcp::endpoint endpoint_from(const std::string& text) {
    const auto colon = text.rfind(':');
    boost::system::error_code ec;
    const auto address = boost::asio::ip::make_address(text.substr(0, colon), ec);
    const auto port = colon == std::string::npos ? 0 : std::atoi(text.c_str() + colon + 1);
    if (ec || port < 1 || port > 65535) throw CLI::ValidationError("'" + text + "' is not ADDRESS:PORT");
    return {address, static_cast<std::uint16_t>(port)};
}

std::vector<redis_address> redis_addresses_from(const std::vector<std::string>& texts) {
    std::vector<redis_address> out;
    for (const auto& text : texts) {
        const auto where = endpoint_from(text);
        out.push_back({where.address().to_string(), where.port()});
    }
    return out;
}

std::vector<edge_address> edges_from(const std::vector<std::string>& urls, const std::vector<std::string>& inside) {
    if (urls.size() != inside.size())
        throw CLI::ValidationError("--edges are " + std::to_string(urls.size()) + ", and --edges-inside " + std::to_string(inside.size()) + ": each edge has one of both");
    std::vector<edge_address> out;
    for (std::size_t i = 0; i < urls.size(); ++i) out.push_back({urls[i], inside[i]});
    return out;
}

std::string first_line_of(const std::string& file) {
    std::ifstream in(file);
    std::string line;
    if (!std::getline(in, line) || line.empty()) throw CLI::ValidationError("cannot read a secret from " + file);
    return line;
}

void add_duration(CLI::App& app, const char* name, std::chrono::milliseconds& out, const char* help) {
    const auto take = [&out, name](const std::string& text) {
        const auto parsed = millrace::parse_duration(text);
        if (!parsed) throw CLI::ValidationError(name, parsed.failure().what);
        out = parsed.value();
    };
    app.add_option_function<std::string>(name, take, help)->default_str(millrace::format_duration(out));
}

void add_size(CLI::App& app, const char* name, std::size_t& out, const char* help) {
    const auto take = [&out, name](const std::string& text) {
        const auto parsed = millrace::parse_size(text);
        if (!parsed) throw CLI::ValidationError(name, parsed.failure().what);
        out = parsed.value();
    };
    app.add_option_function<std::string>(name, take, help)->default_str(millrace::format_size(out));
}

}  // namespace

options read_options(int argc, char** argv) {
    options o;
    std::string listen, secret_file, redis_password_file, near_sessions, cache;
    std::vector<std::string> sentinels, far_caches, edges, edges_inside;
    CLI::App app("The web server of the sample photo stack", "photo-web");
    app.add_option("--listen", listen, "ADDRESS:PORT")->required();
    app.add_option("--database", o.database.primary.address, "connection string of libpq: of the first shard, which knows of the others")->required();
    app.add_option("--replicas", o.database.replicas, "connection string of libpq, for what only reads; without it the database is asked");
    app.add_option("--database-connections", o.database.primary.connections)->capture_default_str()->check(CLI::Range(1, 100));
    app.add_option("--session-sentinels", sentinels, "ADDRESS:PORT,… of those who know where in Redis the sessions are; without it they are in the database")->delimiter(',');
    app.add_option("--near-sessions", near_sessions, "ADDRESS:PORT of the Redis of these in this data centre, for when their master cannot be reached");
    app.add_option("--cache", cache, "ADDRESS:PORT of a Redis that may forget; without it there is no cache");
    app.add_option("--far-caches", far_caches, "ADDRESS:PORT,… of other data centres' caches: they are told what has changed")->delimiter(',');
    app.add_option("--redis-password-file", redis_password_file, "of all of these");
    auto* folder = app.add_option("--photos", o.photos, "folder for the photos' files");
    auto* stores = app.add_option("--object-stores", o.object_stores, "http://ADDRESS:PORT,… for the photos' files, instead of a folder: each has all of them")->delimiter(',');
    app.add_option("--drafts", o.uploads.drafts, "folder for files that are being made; default: in that for the photos")->needs(stores);
    folder->excludes(stores);
    auto* edge_urls = app.add_option("--edges", edges, "https://HOST,… where browsers are sent for photos' sizes; without it, here")->delimiter(',')->needs(stores);
    app.add_option("--edges-inside", edges_inside, "http://ADDRESS:PORT,… where each of them says how it is")->delimiter(',')->needs(edge_urls);
    app.add_option("--templates", o.templates, "folder of the pages")->required()->check(CLI::ExistingDirectory);
    app.add_option("--static-files", o.static_files, "folder of what is sent as it is")->required()->check(CLI::ExistingDirectory);
    app.add_option("--form-secret-file", secret_file, "what the tokens of forms are made with: the same in all web servers")->required();
    app.add_flag("--secure-cookies", o.secure_cookies, "cookies go over TLS alone: what browsers talk to has TLS");
    app.add_option("--trusted-proxy", o.site.trusted_proxy, "address of the load balancer, whose X-Forwarded-For is believed");
    auto* broker = app.add_option("--brokers", o.live.brokers, "HOST:PORT,… of Millrace in each data centre: photos' sizes are made by workers, and not within the request")->delimiter(',');
    app.add_option("--broker-token-file", o.live.connection.token_file, "who this is to the broker")->needs(broker);
    auto* heard = app.add_option("--results-subscription", o.live.subscription, "of this web server alone, to hear what the workers have done")->needs(broker);
    broker->needs(heard);
    app.add_option("--relay", o.relay, "the relay that carries what is uploaded here to a broker")->needs(broker)->capture_default_str();
    app.add_option("--metrics", o.metrics, "HOST:PORT where Prometheus finds /metrics; without it nowhere");
    app.add_option("--imaging-threads", o.imaging_threads)->capture_default_str()->check(CLI::Range(1, 64));
    app.add_option("--writes-per-second", o.site.writes.per_second, "of a user")->capture_default_str();
    app.add_option("--writes-burst", o.site.writes.burst, "of a user")->capture_default_str();
    add_size(app, "--photo-bytes-max", o.uploads.photo_bytes_max, "size of a photo");
    add_duration(app, "--database-deadline", o.database.primary.deadline, "of a transaction; then the request is answered with 503");
    add_duration(app, "--sweep-every", o.sweeper.every, "how often files are looked for that nobody asks for any more");
    add_duration(app, "--sweep-after", o.sweeper.age, "how long nobody has asked for them by then");
    add_duration(app, "--header-timeout", o.http.header_timeout, "for the head of a request to arrive");
    add_duration(app, "--body-timeout", o.http.body_timeout, "for its body");
    add_duration(app, "--drain-timeout", o.drain, "after SIGTERM, for requests in work");
    try {
        app.parse(argc, argv);
        o.listen = endpoint_from(listen);
        o.form_secret = first_line_of(secret_file);
        const auto redis_password = redis_password_file.empty() ? "" : first_line_of(redis_password_file);
        if (!sentinels.empty()) o.sessions = redis_settings{.name = "sessions", .servers = redis_addresses_from(sentinels), .master = "sessions", .password = redis_password};
        const auto redis_at = [&](const char* name, const redis_address& where) {
            return redis_settings{.name = name, .servers = {where}, .password = redis_password, .deadline = near_deadline};
        };
        if (!near_sessions.empty()) o.near_sessions = redis_at("sessions", redis_addresses_from({near_sessions}).front());
        if (!cache.empty()) o.cache = redis_at("cache", redis_addresses_from({cache}).front());
        for (const auto& where : redis_addresses_from(far_caches)) o.far_caches.push_back(redis_at("cache", where));
        if (o.photos.empty() && (o.object_stores.empty() || o.uploads.drafts.empty()))
            throw CLI::ValidationError("where are the photos' files? Say --photos, or --object-stores and --drafts");
        if (o.object_stores.empty()) o.uploads.drafts = o.photos / "drafts";
        o.sweeper.drafts = o.uploads.drafts;
        o.sweeper.storekeeper = !o.object_stores.empty();
        o.edges = edges_from(edges, edges_inside);
        o.http.image_sources = edges;
        o.uploads.sizes_by_workers = !o.live.brokers.empty();
    } catch (const CLI::ParseError& e) {
        std::exit(app.exit(e));
    }
    return o;
}

}  // namespace photo_web
