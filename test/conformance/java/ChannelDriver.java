package millrace.conformance;

import java.io.DataOutputStream;
import java.io.FileInputStream;
import java.io.FileOutputStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.Transaction;
import org.apache.flume.channel.file.FileChannel;
import org.apache.flume.conf.Configurables;
import org.apache.flume.event.EventBuilder;

/**
 * Opens a file channel and does what its words say, one after another. Events are numbered from 0:
 * header "n" and body "event n ...".
 *
 * <pre>
 *   ChannelDriver properties word*
 *   put:count:bytes   take:count   rollback-put:count   rollback-take:count     a transaction each
 *   open-put:count    open-take:count     a transaction that is not ended
 *   sleep:ms          drain:deck          takes everything into a deck
 *   stop              halt                ends in order, or as if killed
 * </pre>
 */
public final class ChannelDriver {
  private static FileChannel channel;
  private static int next = 0;

  private ChannelDriver() {}

  public static void main(String[] words) throws Exception {
    Properties properties = new Properties();
    try (FileInputStream in = new FileInputStream(words[0])) {
      properties.load(in);
    }
    Map<String, String> values = new HashMap<>();
    for (String name : properties.stringPropertyNames()) {
      values.put(name, properties.getProperty(name));
    }
    channel = new FileChannel();
    channel.setName("c");
    Configurables.configure(channel, new Context(values));
    channel.start();
    for (int i = 1; i < words.length; i++) run(words[i].split(":", 3));
    System.exit(0);
  }

  private static void run(String[] word) throws Exception {
    switch (word[0]) {
      case "put":
        put(Integer.parseInt(word[1]), Integer.parseInt(word[2]), "commit");
        return;
      case "take":
        take(Integer.parseInt(word[1]), "commit");
        return;
      case "rollback-put":
        put(Integer.parseInt(word[1]), 20, "rollback");
        return;
      case "rollback-take":
        take(Integer.parseInt(word[1]), "rollback");
        return;
      case "open-put":
        inThread(() -> put(Integer.parseInt(word[1]), 20, "open"));
        return;
      case "open-take":
        inThread(() -> take(Integer.parseInt(word[1]), "open"));
        return;
      case "sleep":
        Thread.sleep(Long.parseLong(word[1]));
        return;
      case "drain":
        drain(word[1]);
        return;
      case "stop":
        channel.stop();
        return;
      case "halt":
        Runtime.getRuntime().halt(0);
        return;
      default:
        throw new IllegalArgumentException(word[0]);
    }
  }

  private interface Work {
    void run() throws Exception;
  }

  /** A transaction belongs to its thread. */
  private static void inThread(Work work) throws InterruptedException {
    Thread thread =
        new Thread(
            () -> {
              try {
                work.run();
              } catch (Exception error) {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
              }
            });
    thread.start();
    thread.join();
  }

  private static void put(int count, int bytes, String end) {
    Transaction transaction = channel.getTransaction();
    transaction.begin();
    for (int i = 0; i < count; i++) {
      StringBuilder body = new StringBuilder("event " + next);
      while (body.length() < bytes) body.append('.');
      Map<String, String> headers = new HashMap<>();
      headers.put("n", String.valueOf(next++));
      channel.put(EventBuilder.withBody(body.toString().getBytes(StandardCharsets.UTF_8), headers));
    }
    end(transaction, end);
  }

  private static void take(int count, String end) {
    Transaction transaction = channel.getTransaction();
    transaction.begin();
    for (int i = 0; i < count; i++) {
      if (channel.take() == null) throw new IllegalStateException("only " + i + " events");
    }
    end(transaction, end);
  }

  private static void end(Transaction transaction, String end) {
    if (end.equals("open")) return;
    if (end.equals("commit")) transaction.commit();
    else transaction.rollback();
    transaction.close();
  }

  private static void drain(String deck) throws Exception {
    try (DataOutputStream out = new DataOutputStream(new FileOutputStream(deck))) {
      while (true) {
        Transaction transaction = channel.getTransaction();
        transaction.begin();
        List<Event> batch = new ArrayList<>();
        Event event;
        while (batch.size() < 1000 && (event = channel.take()) != null) batch.add(event);
        if (!batch.isEmpty()) Deck.write(out, batch);
        transaction.commit();
        transaction.close();
        if (batch.isEmpty()) return;
      }
    }
  }
}
