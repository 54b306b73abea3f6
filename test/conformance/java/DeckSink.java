package millrace.conformance;

import java.io.ByteArrayOutputStream;
import java.io.DataOutputStream;
import java.io.FileOutputStream;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import org.apache.flume.Channel;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.EventDeliveryException;
import org.apache.flume.Transaction;
import org.apache.flume.conf.Configurable;
import org.apache.flume.sink.AbstractSink;

/** Appends what it takes to a deck, a whole batch at a time. */
public final class DeckSink extends AbstractSink implements Configurable {
  private static final int BATCH_SIZE = 100;
  private String deck;
  private FileOutputStream file;

  @Override
  public void configure(Context context) {
    deck = context.getString("deck");
  }

  @Override
  public synchronized void start() {
    try {
      file = new FileOutputStream(deck, true);
    } catch (IOException error) {
      throw new IllegalStateException(error);
    }
    super.start();
  }

  @Override
  public Status process() throws EventDeliveryException {
    Channel channel = getChannel();
    Transaction transaction = channel.getTransaction();
    transaction.begin();
    try {
      List<Event> batch = new ArrayList<>();
      while (batch.size() < BATCH_SIZE) {
        Event event = channel.take();
        if (event == null) break;
        batch.add(event);
      }
      if (!batch.isEmpty()) {
        ByteArrayOutputStream bytes = new ByteArrayOutputStream();
        Deck.write(new DataOutputStream(bytes), batch);
        file.write(bytes.toByteArray());
      }
      transaction.commit();
      // BACKOFF would let the runner sleep for up to five seconds.
      if (batch.isEmpty()) Thread.sleep(20);
      return Status.READY;
    } catch (Exception error) {
      transaction.rollback();
      throw new EventDeliveryException(error);
    } finally {
      transaction.close();
    }
  }
}
