#include "broker/server/permission.hpp"

namespace millrace::server {

right needed_for(wire::Message request) noexcept {
    switch (request) {
        case wire::Message::Publish:
        case wire::Message::OpenProducer: return right::publish;

        case wire::Message::Subscribe:
        case wire::Message::Unsubscribe:
        case wire::Message::Ack:
        case wire::Message::Nack:
        case wire::Message::Reject:
        case wire::Message::Release:
        case wire::Message::Extend:
        case wire::Message::Peek: return right::consume;

        case wire::Message::CreateTopic:
        case wire::Message::UpdateTopic:
        case wire::Message::DeleteTopic:
        case wire::Message::PurgeTopic:
        case wire::Message::CreateSubscription:
        case wire::Message::UpdateSubscription:
        case wire::Message::DeleteSubscription: return right::admin;

        // What changes nothing and shows no message.
        case wire::Message::Metadata:
        case wire::Message::DescribeTopic:
        case wire::Message::ListTopics:
        case wire::Message::DescribeSubscription:
        case wire::Message::ListSubscriptions:
        case wire::Message::Ping: return right::look;

        // Unanswered, so they cannot be refused; without a consumer, which needs the right, they mean nothing.
        case wire::Message::Credit:
        case wire::Message::Start: return right::look;

        // No requests: answered unknown_request.
        case wire::Message::NONE:
        case wire::Message::Hello:
        case wire::Message::Welcome:
        case wire::Message::Pong:
        case wire::Message::Ok:
        case wire::Message::Failed:
        case wire::Message::Goodbye:
        case wire::Message::MetadataOk:
        case wire::Message::Topics:
        case wire::Message::TopicInfo:
        case wire::Message::Subscriptions:
        case wire::Message::SubscriptionInfo:
        case wire::Message::Published:
        case wire::Message::Subscribed:
        case wire::Message::Deliver:
        case wire::Message::ConsumerEnded:
        case wire::Message::Acked:
        case wire::Message::Peeked:
        case wire::Message::ProducerOpened: return right::look;
    }
    return right::look;  // a kind that this broker does not know: answered unknown_request
}

}  // namespace millrace::server
