import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.Config;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.ListOffsetsResult.ListOffsetsResultInfo;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.admin.TopicDescription;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.TopicCollection;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.config.ConfigResource;

/** What an administrator asks of a cluster. */
final class Administer {
    interface Question {
        void ask(Admin admin, JsonNode order, ObjectNode answer) throws Exception;
    }

    static void register(Map<String, Driver.Verb> verbs) {
        Map<String, Question> questions = Map.ofEntries(
                Map.entry("create_topic", Administer::createTopic),
                Map.entry("delete_topic", Administer::deleteTopic),
                Map.entry("create_partitions", (admin, order, answer) -> admin.createPartitions(
                        Map.of(topic(order), NewPartitions.increaseTo(order.get("partitions").asInt()))).all().get()),
                Map.entry("delete_records", (admin, order, answer) -> admin.deleteRecords(Map.of(
                        partition(order), RecordsToDelete.beforeOffset(order.get("before").asLong()))).all().get()),
                Map.entry("alter_configs", Administer::alterConfigs),
                Map.entry("describe_configs", Administer::describeConfigs),
                Map.entry("list_topics", (admin, order, answer) -> strings(answer, "topics", admin.listTopics().names().get())),
                Map.entry("describe_topic", Administer::describeTopic),
                Map.entry("describe_cluster", Administer::describeCluster),
                Map.entry("list_offsets", Administer::listOffsets),
                Map.entry("list_groups", Administer::listGroups),
                Map.entry("delete_group", (admin, order, answer) -> admin.deleteConsumerGroups(
                        List.of(order.get("group").asText())).all().get()));
        questions.forEach((name, question) -> verbs.put(name, (order, answer) -> Driver.with(
                order, Admin.class, (Properties properties) -> Admin.create(properties),
                admin -> question.ask(admin, order, answer))));
    }

    private static void createTopic(Admin admin, JsonNode order, ObjectNode answer) throws Exception {
        NewTopic topic = new NewTopic(topic(order), order.path("partitions").asInt(1),
                (short) order.path("replicas").asInt(-1));
        topic.configs(configs(order));
        var created = admin.createTopics(List.of(topic));
        created.all().get();
        answer.put("topic_id", created.topicId(topic.name()).get().toString());
    }

    private static void deleteTopic(Admin admin, JsonNode order, ObjectNode answer) throws Exception {
        TopicCollection topics = order.hasNonNull("topic_id")
                ? TopicCollection.ofTopicIds(List.of(Uuid.fromString(order.get("topic_id").asText())))
                : TopicCollection.ofTopicNames(List.of(topic(order)));
        admin.deleteTopics(topics).all().get();
    }

    /** Incremental only: the call that replaces the whole set left the Java client in 4.0 (librdkafka still has it). */
    private static void alterConfigs(Admin admin, JsonNode order, ObjectNode answer) throws Exception {
        List<AlterConfigOp> changes = new ArrayList<>();
        configs(order).forEach((name, value) -> changes.add(
                new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
        order.path("unset").forEach(name -> changes.add(
                new AlterConfigOp(new ConfigEntry(name.asText(), null), AlterConfigOp.OpType.DELETE)));
        admin.incrementalAlterConfigs(Map.of(resource(order), changes)).all().get();
    }

    private static void describeConfigs(Admin admin, JsonNode order, ObjectNode answer) throws Exception {
        ObjectNode out = answer.putObject("configs");
        Config config = admin.describeConfigs(List.of(resource(order))).all().get().get(resource(order));
        config.entries().forEach(entry -> out.put(entry.name(), entry.value()));
    }

    private static void describeTopic(Admin admin, JsonNode order, ObjectNode answer) throws Exception {
        TopicCollection topics = order.hasNonNull("topic_id")
                ? TopicCollection.ofTopicIds(List.of(Uuid.fromString(order.get("topic_id").asText())))
                : TopicCollection.ofTopicNames(List.of(topic(order)));
        var described = admin.describeTopics(topics);
        TopicDescription topic = (described.topicNameValues() != null
                ? described.allTopicNames().get().values()
                : described.allTopicIds().get().values()).iterator().next();
        answer.put("topic", topic.name()).put("topic_id", topic.topicId().toString());
        ArrayNode partitions = answer.putArray("partitions");
        topic.partitions().forEach(partition -> {
            ObjectNode out = partitions.addObject();
            out.put("partition", partition.partition());
            out.set("leader", node(partition.leader()));
            partition.replicas().forEach(replica -> out.withArray("replicas").add(replica.id()));
        });
    }

    private static void describeCluster(Admin admin, JsonNode order, ObjectNode answer) throws Exception {
        var cluster = admin.describeCluster();
        answer.put("cluster_id", cluster.clusterId().get());
        ArrayNode nodes = answer.putArray("nodes");
        cluster.nodes().get().forEach(node -> nodes.add(node(node)));
    }

    private static void listOffsets(Admin admin, JsonNode order, ObjectNode answer) throws Exception {
        ListOffsetsResultInfo earliest = admin.listOffsets(Map.of(partition(order), OffsetSpec.earliest()))
                .partitionResult(partition(order)).get();
        ListOffsetsResultInfo latest = admin.listOffsets(Map.of(partition(order), OffsetSpec.latest()))
                .partitionResult(partition(order)).get();
        answer.put("earliest", earliest.offset()).put("latest", latest.offset());
    }

    private static void listGroups(Admin admin, JsonNode order, ObjectNode answer) throws Exception {
        List<String> groups = new ArrayList<>();
        admin.listGroups().all().get().forEach(group -> groups.add(group.groupId()));
        strings(answer, "groups", groups);
    }

    private static String topic(JsonNode order) {
        return order.get("topic").asText();
    }

    private static TopicPartition partition(JsonNode order) {
        return new TopicPartition(topic(order), order.path("partition").asInt());
    }

    private static ConfigResource resource(JsonNode order) {
        return order.hasNonNull("broker")
                ? new ConfigResource(ConfigResource.Type.BROKER, order.get("broker").asText())
                : new ConfigResource(ConfigResource.Type.TOPIC, topic(order));
    }

    private static Map<String, String> configs(JsonNode order) {
        Map<String, String> configs = new HashMap<>();
        order.path("configs").properties().forEach(entry -> configs.put(entry.getKey(), entry.getValue().asText()));
        return configs;
    }

    private static JsonNode node(Node node) {
        return node == null
                ? Driver.JSON.nullNode()
                : Driver.JSON.createObjectNode().put("id", node.id()).put("host", node.host()).put("port", node.port());
    }

    private static void strings(ObjectNode answer, String name, Iterable<String> values) {
        ArrayNode out = answer.putArray(name);
        values.forEach(out::add);
    }
}
