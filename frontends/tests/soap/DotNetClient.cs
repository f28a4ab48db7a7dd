// Calls the financial service with a stock SOAP client, .NET's, that knows nothing but its WSDL. On Debian, with
// `apt install mono-devel`, in an empty directory, with AGORA naming this repository, against `cluster up`:
//
//   wsdl /namespace:Agora /out:Proxy.cs 'http://127.0.0.1:8000/?wsdl'
//   mcs /reference:System.Web.Services /out:client.exe Proxy.cs $AGORA/frontends/tests/soap/DotNetClient.cs
//   mono client.exe
//
// Exits 0 when all is as described, and says what is not otherwise.

using System;
using System.Web.Services.Protocols;
using Agora;

static class DotNetClient {
    static readonly FinancialService Service = new FinancialService();

    static void Main() {
        string approved = null, declined = null;
        // Nine of ten are approved: a hundred payments show both answers.
        for (int payment = 0; payment < 100; payment++) {
            string transaction = Guid.NewGuid().ToString();
            string authorization = Authorize(transaction, 1234);
            Check(authorization == Authorize(transaction, 1234), "another answer for the same transaction");
            if (authorization == "") {
                declined = transaction;
            } else {
                approved = transaction;
            }
        }
        Check(approved != null && declined != null, "not both answers came");
        Check(Service.VoidPayment(approved) && Service.VoidPayment(declined), "not voided");

        Check(Fault(approved, 1).Contains("transaction"), "another payment under the same transaction was taken");
        Check(Fault(Guid.NewGuid().ToString(), 0).Contains("amount_cents"), "a payment of nothing was taken");
    }

    // The authorization's id, or nothing when it was declined.
    static string Authorize(string transaction, ulong cents) {
        string authorization;
        bool approved = Service.AuthorizePayment(transaction, "Ada <Lovelace> & Söhne", "4111111111111111", "07/2031", "123",
            cents, out authorization);
        Check(approved == (authorization != ""), "an authorization's id says something else than the decision");
        return authorization;
    }

    // What the fault says that this payment gets.
    static string Fault(string transaction, ulong cents) {
        try {
            Authorize(transaction, cents);
        } catch (SoapException exception) {
            Check(exception.Code == SoapException.ClientFaultCode, exception.Code + ": " + exception.Message);
            return exception.Message;
        }
        throw new Exception("no fault for a payment of " + cents);
    }

    static void Check(bool holds, string otherwise) {
        if (!holds) {
            throw new Exception(otherwise);
        }
    }
}
