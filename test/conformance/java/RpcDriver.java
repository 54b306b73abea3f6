package millrace.conformance;

import java.io.File;
import java.io.FileReader;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.List;
import java.util.Properties;
import org.apache.flume.Event;
import org.apache.flume.EventDeliveryException;
import org.apache.flume.FlumeException;
import org.apache.flume.api.RpcClient;
import org.apache.flume.api.RpcClientFactory;

/**
 * Sends decks with Flume's RPC clients, one after another in one JVM. Each line of the plan is, with
 * tabs between: a name, a properties file of the client, a deck, append or appendBatch, how often a
 * call may be tried (each time with a new client), and milliseconds to rest before each call. Says
 * "ACK name n" when the n-th batch was acknowledged, from 1; "DONE name" or "FAILED name error"
 * after each line.
 */
public final class RpcDriver {
  private final Properties properties = new Properties();
  private RpcClient client;

  private RpcDriver() {}

  public static void main(String[] args) throws Exception {
    for (String line : Files.readAllLines(Paths.get(args[0]))) {
      String[] words = line.split("\t");
      RpcDriver driver = new RpcDriver();
      try (FileReader reader = new FileReader(words[1])) {
        driver.properties.load(reader);
      }
      String failure = driver.send(words);
      driver.close();
      System.out.println(failure == null ? "DONE " + words[0] : "FAILED " + words[0] + " " + failure);
    }
    System.out.println("END");
    // The clients' threads may outlive them.
    System.exit(0);
  }

  private String send(String[] words) throws Exception {
    int attempts = Integer.parseInt(words[4]);
    long restMs = Long.parseLong(words[5]);
    int acknowledged = 0;
    for (List<Event> batch : Deck.read(new File(words[2]))) {
      Thread.sleep(restMs);
      for (int attempt = 1; ; attempt++) {
        try {
          call(words[3], batch);
          break;
        } catch (EventDeliveryException | FlumeException error) {
          close();
          if (attempt >= attempts) return describe(error);
          Thread.sleep(200);
        }
      }
      System.out.println("ACK " + words[0] + " " + ++acknowledged);
    }
    return null;
  }

  private void call(String message, List<Event> batch) throws EventDeliveryException {
    if (client == null) client = RpcClientFactory.getInstance(properties);
    if (message.equals("append")) {
      for (Event event : batch) client.append(event);
    } else {
      client.appendBatch(batch);
    }
  }

  private void close() {
    if (client != null) client.close();
    client = null;
  }

  private static String describe(Throwable error) {
    StringBuilder text = new StringBuilder();
    for (Throwable cause = error; cause != null; cause = cause.getCause()) {
      text.append(cause.toString().replace('\n', ' ')).append(" | ");
    }
    return text.toString();
  }
}
