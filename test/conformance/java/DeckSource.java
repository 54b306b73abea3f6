package millrace.conformance;

import java.io.File;
import java.util.List;
import org.apache.flume.ChannelException;
import org.apache.flume.Context;
import org.apache.flume.Event;
import org.apache.flume.FlumeException;
import org.apache.flume.source.AbstractPollableSource;

/** Puts the batches of a deck, once the file is there, and then takes it away. */
public final class DeckSource extends AbstractPollableSource {
  private File deck;

  @Override
  protected void doConfigure(Context context) {
    deck = new File(context.getString("deck"));
  }

  @Override
  protected Status doProcess() {
    if (!deck.exists()) return Status.BACKOFF;
    try {
      for (List<Event> batch : Deck.read(deck)) put(batch);
    } catch (Exception error) {
      throw new FlumeException("deck " + deck, error);
    }
    if (!deck.delete()) throw new FlumeException("cannot delete " + deck);
    return Status.READY;
  }

  private void put(List<Event> batch) throws InterruptedException {
    while (true) {
      try {
        getChannelProcessor().processEventBatch(batch);
        return;
      } catch (ChannelException full) {
        Thread.sleep(100);
      }
    }
  }

  @Override
  protected void doStart() {}

  @Override
  protected void doStop() {}
}
