// librdkafka's own mock of a Kafka cluster, with the topics that are named as arguments: prints "ready HOST:PORT" and serves until its input ends.
#include <cstdio>
#include <memory>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

namespace {

struct freed {
    void operator()(rd_kafka_t* k) const { rd_kafka_destroy(k); }
    void operator()(rd_kafka_mock_cluster_t* c) const { rd_kafka_mock_cluster_destroy(c); }
};

constexpr int partitions = 1;  // as a run with one consumer makes them; and what came first to a topic is read first
constexpr int replicas = 1;

}  // namespace

int main(int argc, char** argv) {
    char why[512];
    const std::unique_ptr<rd_kafka_t, freed> owner(rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), why, sizeof why));
    if (!owner) return std::fprintf(stderr, "kafka_mock: %s\n", why), 1;
    const std::unique_ptr<rd_kafka_mock_cluster_t, freed> cluster(rd_kafka_mock_cluster_new(owner.get(), 1));
    for (int i = 1; i < argc; ++i)
        if (const auto error = rd_kafka_mock_topic_create(cluster.get(), argv[i], partitions, replicas); error != RD_KAFKA_RESP_ERR_NO_ERROR)
            return std::fprintf(stderr, "kafka_mock: %s: %s\n", argv[i], rd_kafka_err2str(error)), 1;
    std::printf("ready %s\n", rd_kafka_mock_cluster_bootstraps(cluster.get()));
    std::fflush(stdout);
    while (std::getchar() != EOF) {}
    return 0;
}
