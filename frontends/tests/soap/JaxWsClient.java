// Calls the financial service with a stock SOAP client, Java's JAX-WS, that knows nothing but its WSDL. On Debian, with
// `apt install jaxws default-jdk`, in an empty directory, with AGORA naming this repository, against `cluster up`:
//
//   wsimport -keep -p agora.soap 'http://127.0.0.1:8000/?wsdl'
//   javac -encoding UTF-8 -cp /usr/share/java/jaxws-rt.jar:. -d . $AGORA/frontends/tests/soap/JaxWsClient.java
//   java -cp /usr/share/java/jaxws-rt.jar:. JaxWsClient
//
// Exits 0 when all is as described, and says what is not otherwise.

import agora.soap.FinancialPort;
import agora.soap.FinancialService;
import java.math.BigInteger;
import java.util.UUID;
import javax.xml.ws.Holder;
import javax.xml.ws.soap.SOAPFaultException;

public class JaxWsClient {
    private static final FinancialPort PORT = new FinancialService().getFinancialPort();

    public static void main(String[] arguments) {
        String approved = null;
        String declined = null;
        // Nine of ten are approved: a hundred payments show both answers.
        for (int payment = 0; payment < 100; payment++) {
            String transaction = UUID.randomUUID().toString();
            String authorization = authorize(transaction, 1234);
            check(authorization.equals(authorize(transaction, 1234)), "another answer for the same transaction");
            if (authorization.isEmpty()) {
                declined = transaction;
            } else {
                approved = transaction;
            }
        }
        check(approved != null && declined != null, "not both answers came");
        check(PORT.voidPayment(approved) && PORT.voidPayment(declined), "not voided");

        check(fault(approved, 1).contains("transaction"), "another payment under the same transaction was taken");
        check(fault(UUID.randomUUID().toString(), 0).contains("amount_cents"), "a payment of nothing was taken");
    }

    /** The authorization's id, or nothing when it was declined. */
    private static String authorize(String transaction, long cents) {
        Holder<Boolean> approved = new Holder<>();
        Holder<String> authorization = new Holder<>();
        PORT.authorizePayment(transaction, "Ada <Lovelace> & Söhne", "4111111111111111", "07/2031", "123",
            BigInteger.valueOf(cents), approved, authorization);
        check(approved.value != authorization.value.isEmpty(), "an authorization's id says something else than the decision");
        return authorization.value;
    }

    /** What the fault says that this payment gets. */
    private static String fault(String transaction, long cents) {
        try {
            authorize(transaction, cents);
        } catch (SOAPFaultException exception) {
            check(exception.getFault().getFaultCodeAsQName().getLocalPart().equals("Client"), exception.getMessage());
            return exception.getFault().getFaultString();
        }
        throw new AssertionError("no fault for a payment of " + cents);
    }

    private static void check(boolean holds, String otherwise) {
        if (!holds) {
            throw new AssertionError(otherwise);
        }
    }
}
